//! `bench kernels`: each kernel at each instruction set of the processor.
//!
//! The kernels choose their instruction set once for a process, so that each set is measured by a process of its own.

use std::env;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shamisen_local::store::check_writable;
use shamisen_ring::level::Level;
use shamisen_ring::matmul::{MatRef, multiply};
use shamisen_ring::prg::Prg;
use shamisen_ring::{bits, digits, lookup, pack, planes, truncation};

use crate::bench::args::KernelArguments;
use crate::bench::case::SplitMix64;
use crate::bench::document::{Machine, publish};
use crate::bench::table::{significant, table};
use crate::failure::{Failure, Result};
use crate::interrupt;

/// The figures of `bench kernels`.
#[derive(Serialize)]
struct AllFigures {
    /// Elements of a vector.
    elements: usize,
    /// Instruction sets, the slowest first.
    levels: Vec<&'static str>,
    kernels: Vec<Figures>,
}

/// What a kernel does at one instruction set.
#[derive(Debug, Serialize)]
struct Figures {
    kernel: String,
    level: &'static str,
    /// `element`, or `multiply-add` in a matrix product.
    unit: String,
    nanoseconds_per_unit: f64,
    giga_units_per_second: f64,
    /// Bytes read and written.
    gigabytes_per_second: f64,
    /// Time at the level `scalar`, divided by the time at this one.
    times_scalar: f64,
    /// Bytes a second, divided by those of a copy of memory.
    of_copy: f64,
}

/// What one process found out about a kernel.
#[derive(Serialize, Deserialize)]
struct Timing {
    kernel: String,
    unit: String,
    units: f64,
    bytes: f64,
    seconds: f64,
}

/// A kernel with its data.
struct Kernel {
    name: String,
    unit: &'static str,
    /// Elements or multiply-adds, and bytes read and written, of one call.
    units: f64,
    bytes: f64,
    call: Box<dyn FnMut()>,
}

/// Kernels that shift one vector.
type OnOne = fn(&mut [u64], u32);
/// Kernels that combine vectors with the first one.
type OnTwo = fn(&mut [u64], &[u64]);
type OnFive = fn(&mut [u64], &[u64], &[u64], &[u64], &[u64]);

/// Name of the first kernel, which is the roof of the others.
const COPY: &str = "copy of memory";
/// Least time of a measurement.
const WINDOW: Duration = Duration::from_millis(20);
/// Measurements, of which the best counts: others disturb, nobody helps.
const REPEATS: usize = 3;

/// Carries out `bench kernels`.
pub(crate) fn run(arguments: &KernelArguments) -> Result<()> {
    if !(1..=1 << 24).contains(&arguments.elements) {
        return Err(Failure::input(format!(
            "the vector has {} elements, it must have 1 to {}",
            arguments.elements,
            1 << 24
        )));
    }
    if arguments.one_level {
        let timings: Vec<Timing> = kernels(arguments.elements).into_iter().map(timing).collect();
        let text = serde_json::to_string(&timings)
            .map_err(|error| Failure::run(format!("the figures cannot be written as JSON: {error}")))?;
        return crate::print(&text);
    }
    arguments.json.as_deref().map_or(Ok(()), check_writable)?;
    let machine = Machine::new(None);
    let by_level = Level::available().map(|level| Ok((level.name(), measure(level, arguments.elements)?)));
    let by_level: Vec<(&'static str, Vec<Timing>)> = by_level.collect::<Result<_>>()?;
    let figures = AllFigures {
        elements: arguments.elements,
        levels: by_level.iter().map(|(level, _)| *level).collect(),
        kernels: compare(&by_level),
    };
    publish("kernels", machine.clone(), &figures, &text(&figures, &machine), arguments.json.as_deref())
}

/// Measures all kernels at one level, in another process.
fn measure(level: Level, elements: usize) -> Result<Vec<Timing>> {
    interrupt::check()?;
    let program = env::current_exe()
        .map_err(|error| Failure::run(format!("cannot find the own program file: {error}")))?;
    let output = Command::new(program)
        .args(["bench", "kernels", "--one-level", "--elements"])
        .arg(elements.to_string())
        .env("SHAMISEN_CPU", level.name())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::run(format!("cannot start a process for the kernels: {error}")))?;
    let failed = |reason: String| {
        Failure::run(format!("the kernels of level {} could not be measured: {reason}", level.name()))
    };
    if !output.status.success() {
        return Err(failed(format!("their process ended with {}", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

/// Each kernel beside its scalar version and beside the copy.
fn compare(by_level: &[(&'static str, Vec<Timing>)]) -> Vec<Figures> {
    let mut figures = Vec::new();
    let Some((_, scalar)) = by_level.first() else { return figures };
    for (at, plain) in scalar.iter().enumerate() {
        for (level, timings) in by_level {
            let (timing, copy) = (&timings[at], &timings[0]);
            figures.push(Figures {
                kernel: timing.kernel.clone(),
                level,
                unit: timing.unit.clone(),
                nanoseconds_per_unit: timing.seconds * 1e9 / timing.units,
                giga_units_per_second: timing.units / timing.seconds / 1e9,
                gigabytes_per_second: timing.bytes / timing.seconds / 1e9,
                times_scalar: plain.seconds / timing.seconds,
                of_copy: (timing.bytes / timing.seconds) / (copy.bytes / copy.seconds),
            });
        }
    }
    figures
}

/// The least time of a call, over some calls.
fn timing(mut kernel: Kernel) -> Timing {
    (kernel.call)();
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let (start, mut calls) = (Instant::now(), 0.0);
        while start.elapsed() < WINDOW {
            (kernel.call)();
            calls += 1.0;
        }
        best = best.min(start.elapsed().as_secs_f64() / calls);
    }
    Timing {
        kernel: kernel.name,
        unit: kernel.unit.to_owned(),
        units: kernel.units,
        bytes: kernel.bytes,
        seconds: best,
    }
}

/// All kernels on vectors of `len` elements; the copy first.
fn kernels(len: usize) -> Vec<Kernel> {
    let mut generator = SplitMix64(3);
    let mut words = |len| generator.words(len);
    let n = len as f64;
    let element = |name: &str, bytes: f64, call: Box<dyn FnMut()>| Kernel {
        name: name.to_owned(),
        unit: "element",
        units: n,
        bytes: n * bytes,
        call,
    };
    let mut all = Vec::new();

    let (x, mut out) = (words(len), words(len));
    all.push(element(COPY, 16.0, Box::new(move || black_box(&mut out).copy_from_slice(&x))));

    let (prg, mut out) = (Prg::new(&[5; 16]), words(len));
    all.push(element("random words", 8.0, Box::new(move || prg.fill(1, 0, black_box(&mut out)))));
    let (prg, mut out) = (Prg::new(&[5; 16]), words(len));
    all.push(element("random words added", 16.0, Box::new(move || prg.add_into(1, 0, black_box(&mut out)))));

    let two: [(&str, OnTwo); 4] = [
        ("add", bits::add_assign),
        ("subtract", bits::sub_assign),
        ("subtract from", bits::sub_from),
        ("xor", bits::xor_assign),
    ];
    for (name, call) in two {
        let (x, mut out) = (words(len), words(len));
        all.push(element(name, 24.0, Box::new(move || call(black_box(&mut out), &x))));
    }
    let shifts: [(&str, OnOne); 2] = [("shift left", bits::shl_assign), ("shift right", bits::shr_logical)];
    for (name, call) in shifts {
        let mut out = words(len);
        all.push(element(name, 16.0, Box::new(move || call(black_box(&mut out), 1))));
    }
    let (x, y, mut out) = (words(len), words(len), words(len));
    all.push(element("and, added", 32.0, Box::new(move || bits::and_assign(black_box(&mut out), &x, &y))));
    let (x, mut out) = (words(len), words(len));
    all.push(element("add scaled", 24.0, Box::new(move || bits::add_scaled(black_box(&mut out), &x, 3))));
    let mut out = words(len);
    all.push(element("scale", 16.0, Box::new(move || bits::scale_assign(black_box(&mut out), 3))));
    let five: [(&str, OnFive); 2] =
        [("and of shares, 64 bits", bits::and_shares), ("product of shares", bits::mul_shares)];
    for (name, call) in five {
        let (a, b, c, d, mut out) = (words(len), words(len), words(len), words(len), words(len));
        all.push(element(name, 48.0, Box::new(move || call(black_box(&mut out), &a, &b, &c, &d))));
    }

    for width in [24, 64] {
        let (x, mut out) = (words(len), vec![0; width as usize * planes::plane_words(len)]);
        let (back, mut values) = (out.clone(), vec![0; len]);
        let bytes = 8.0 + f64::from(width) / 8.0;
        all.push(element(
            &format!("words to {width} planes"),
            bytes,
            Box::new(move || planes::to_planes(&x, 0, width, black_box(&mut out))),
        ));
        all.push(element(
            &format!("{width} planes to words"),
            bytes,
            Box::new(move || planes::from_planes(&back, width, len, black_box(&mut values))),
        ));
    }

    for width in [20, 32] {
        let (x, mut out) = (words(len), vec![0; pack::packed_words(len, width)]);
        let (packed, mut values) = (out.clone(), vec![0; len]);
        let bytes = 8.0 + f64::from(width) / 8.0;
        all.push(element(
            &format!("pack {width} bits"),
            bytes,
            Box::new(move || pack::pack(&x, width, black_box(&mut out))),
        ));
        all.push(element(
            &format!("unpack {width} bits"),
            bytes,
            Box::new(move || pack::unpack(&packed, width, black_box(&mut values))),
        ));
    }

    for entries in [64_usize, 256] {
        let query = lookup::query_words(entries);
        let (queries, table, masks, mut out) = (words(len * query), words(entries), words(len), words(len));
        let indices: Vec<u16> = words(len).iter().map(|word| (word % entries as u64) as u16).collect();
        let (mut points, places) = (queries.clone(), indices.clone());
        all.push(element(
            &format!("look-up answer, {entries} entries"),
            (8 * query + 2 + 24) as f64,
            Box::new(move || lookup::answer(&queries, &indices, &table, &masks, black_box(&mut out))),
        ));
        all.push(element(
            &format!("look-up query, {entries} entries"),
            18.0,
            Box::new(move || lookup::set_point(black_box(&mut points), &places, entries)),
        ));
    }

    let of_digits = of_digits(len, &mut words);
    all.extend(of_digits.into_iter().map(|(name, bytes, call)| element(name, bytes, call)));
    let of_truncation = of_truncation(len, &mut words);
    all.extend(of_truncation.into_iter().map(|(name, bytes, call)| element(name, bytes, call)));

    // The products of the first layer and of the second one.
    for (m, k, n, turned) in
        [(128, 784, 128, false), (784, 128, 128, true), (128, 128, 128, false), (128, 128, 10, false)]
    {
        let (a, b, mut out) = ([words(m * k), words(m * k)], [words(k * n), words(k * n)], words(m * n));
        let transposed = if turned { ", the first transposed" } else { "" };
        all.push(Kernel {
            name: format!("matrix {m} x {k} x {n}{transposed}"),
            unit: "multiply-add",
            units: (m * k * n) as f64,
            bytes: (16 * (m * k + k * n + m * n)) as f64,
            call: Box::new(move || {
                let a = if turned {
                    MatRef::new(&a[0], &a[1], k, m).transposed()
                } else {
                    MatRef::new(&a[0], &a[1], m, k)
                };
                multiply(black_box(&mut out), a, MatRef::new(&b[0], &b[1], k, n));
            }),
        });
    }
    all
}

/// A kernel on elements: its name, the bytes that it reads and writes for each, and a call.
type OnElements = (&'static str, f64, Box<dyn FnMut()>);

/// The kernels of look-ups of digits.
fn of_digits(len: usize, words: &mut dyn FnMut(usize) -> Vec<u64>) -> [OnElements; 2] {
    const TABLES: usize = 4;
    let (values, queries) = (words(len), words(digits::query_words(len)));
    let (digits_of, mut points) = (values.clone(), queries.clone());
    let mut out = vec![0; TABLES * planes::plane_words(len)];
    let tables: [[u16; 16]; TABLES] = std::array::from_fn(|table| {
        std::array::from_fn(|digit| 0x9e37_u16.rotate_left((table + digit) as u32))
    });
    [
        (
            "digit look-up query",
            12.0,
            Box::new(move || digits::set_points(black_box(&mut points), &digits_of, 4)),
        ),
        (
            "digit look-up answer, 4 tables",
            10.0 + TABLES as f64 / 4.0,
            Box::new(move || digits::answer(&queries, &values, 4, &tables, black_box(&mut out))),
        ),
    ]
}

/// The kernels of the truncation.
fn of_truncation(len: usize, words: &mut dyn FnMut(usize) -> Vec<u64>) -> [OnElements; 5] {
    const BITS: u32 = 20;
    let (half, mask, plane) = (words(len), words(len), words(planes::plane_words(len)));
    let mut out = || words(len);
    let (mut first, mut second, mut third, mut fourth, mut fifth) = (out(), out(), out(), out(), out());
    let share = mask.clone();
    let (bits, halves, masks) = (plane.clone(), half.clone(), mask.clone());
    let (signs, shares) = (plane.clone(), mask.clone());
    let (of_half, received) = (half.clone(), mask.clone());
    [
        (
            "subtract from bits",
            16.125,
            Box::new(move || truncation::subtract_from_bits(black_box(&mut first), &plane)),
        ),
        (
            "select and mask",
            32.0,
            Box::new(move || truncation::select_masked(black_box(&mut second), &share, &half, &mask)),
        ),
        (
            "subtract signed",
            24.125,
            Box::new(move || truncation::subtract_signed(black_box(&mut third), &shares, &signs, BITS)),
        ),
        (
            "component of a truncation",
            32.125,
            Box::new(move || {
                truncation::known_component(black_box(&mut fourth), &received, &of_half, &bits, BITS, 1);
            }),
        ),
        (
            "shift and mask",
            24.0,
            Box::new(move || truncation::shift_masked(black_box(&mut fifth), &halves, &masks, BITS)),
        ),
    ]
}

fn text(figures: &AllFigures, machine: &Machine) -> String {
    let rows: Vec<_> = figures
        .kernels
        .iter()
        .map(|figure| {
            let adds = figure.unit == "multiply-add";
            [
                figure.kernel.clone(),
                figure.level.to_owned(),
                significant(figure.nanoseconds_per_unit),
                if adds { significant(figure.giga_units_per_second) } else { String::new() },
                significant(figure.gigabytes_per_second),
                format!("{:.2}", figure.of_copy),
                format!("{:.1}", figure.times_scalar),
            ]
        })
        .collect();
    let heads = ["kernel", "level", "ns", "G madd/s", "GB/s", "of copy", "times scalar"];
    format!(
        "{}One thread, vectors of {} elements; ns for an element, or for a multiply-add of matrices. GB/s counts what is\n\
         read and written; of copy is that beside a copy of memory of the same length.\n\n{}",
        machine.line(""),
        figures.elements,
        table(heads, &rows)
    )
}
