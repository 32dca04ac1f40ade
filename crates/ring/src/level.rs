//! The instruction sets that the kernels choose from at run time.
//!
//! A kernel is either plain Rust compiled once for each level (the macro `at_levels`) or written with intrinsics; both are
//! entered through a function `..._at` that takes the level, so that tests compare every level with the scalar one.

use std::env;
use std::sync::OnceLock;

/// An instruction set, in ascending order of speed. The list is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Plain Rust, on every processor.
    Scalar,
    /// 256-bit vectors: AVX2 and BMI2.
    Avx2,
    /// 512-bit vectors: AVX-512 F, DQ, BW and VL. Where VBMI and GFNI are there too, some kernels use them.
    Avx512,
    /// The same, and products of matrices in the tile unit: AMX with its product of bytes, where Linux permits its use.
    Amx,
}

impl Level {
    /// All levels, the slowest first.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Amx];

    /// The fastest level of this processor, whatever the environment says.
    pub fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(detect)
    }

    /// The levels of this processor, the slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| *level <= Self::best())
    }

    /// This level, or the processor's best if that is lower: the only levels whose kernels may be entered.
    pub(crate) fn clamped(self) -> Self {
        self.min(Self::best())
    }

    /// Whether kernels of this level may use VBMI and GFNI.
    pub(crate) fn has_byte_permutes(self) -> bool {
        static BYTE_PERMUTES: OnceLock<bool> = OnceLock::new();
        self.clamped() >= Self::Avx512 && *BYTE_PERMUTES.get_or_init(detect_byte_permutes)
    }

    /// The name that `SHAMISEN_CPU` knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
        }
    }
}

/// The level at which this process runs: the best of the processor, or the one in the environment variable `SHAMISEN_CPU`
/// (`scalar`, `avx2`, `avx512` or `amx`). Determined at the first call.
///
/// # Panics
///
/// If `SHAMISEN_CPU` has another value or names a level that the processor lacks. It is a variable for developers.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| match env::var_os("SHAMISEN_CPU") {
        Some(name) => {
            choose(&name.to_string_lossy(), Level::best()).unwrap_or_else(|message| panic!("{message}"))
        }
        None => Level::best(),
    })
}

fn choose(name: &str, best: Level) -> Result<Level, String> {
    let level = Level::ALL.into_iter().find(|level| level.name() == name).ok_or_else(|| {
        format!(
            "SHAMISEN_CPU is {name:?}; the choices are \"scalar\", \"avx2\", \"avx512\" and \"amx\", or leave it unset"
        )
    })?;
    if level > best {
        return Err(format!(
            "SHAMISEN_CPU is {name:?}, which this processor does not have; its best is {:?}",
            best.name()
        ));
    }
    Ok(level)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    if !is_x86_feature_detected!("avx2") || !is_x86_feature_detected!("bmi2") {
        Level::Scalar
    } else if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
    {
        if has_tiles() { Level::Amx } else { Level::Avx512 }
    } else {
        Level::Avx2
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Scalar
}

/// Whether the processor has AMX with its product of bytes and the system lets this process use it. Only called where there is
/// AVX-512.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn has_tiles() -> bool {
    use core::arch::asm;
    use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

    const TILES_AND_BYTES: u32 = 1 << 24 | 1 << 25;
    const TILE_STATE: u64 = 1 << 17 | 1 << 18;
    const ARCH_PRCTL: usize = 158;
    const REQUEST_PERMISSION: usize = 0x1023;
    const TILE_DATA: usize = 18;

    /// # Safety
    ///
    /// The processor has XSAVE, and the system uses it.
    #[target_feature(enable = "xsave")]
    unsafe fn saved_state() -> u64 {
        // SAFETY: register 0 is there wherever the instruction is.
        unsafe { _xgetbv(0) }
    }

    if __cpuid(0).eax < 7 || __cpuid_count(7, 0).edx & TILES_AND_BYTES != TILES_AND_BYTES {
        return false;
    }
    // SAFETY: AVX-512 is only detected where the system saves its state with XSAVE.
    if unsafe { saved_state() } & TILE_STATE != TILE_STATE {
        return false;
    }
    let result: isize;
    // SAFETY: the call changes nothing but what the system permits this process, and touches no memory of ours; a system that
    // does not know it returns an error.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn has_tiles() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn detect_byte_permutes() -> bool {
    is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("gfni")
}

#[cfg(not(target_arch = "x86_64"))]
fn detect_byte_permutes() -> bool {
    false
}

/// Defines `fn name(level, arguments...)` that runs one body compiled for each level.
macro_rules! at_levels {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        $visibility fn $name(level: $crate::level::Level, $($argument: $type),*) {
            // The body takes on the features of the shell around it.
            #[inline(always)]
            fn body($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,bmi2")]
            fn avx2($($argument: $type),*) {
                body($($argument),*);
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,bmi2,avx512f,avx512dq,avx512bw,avx512vl")]
            fn avx512($($argument: $type),*) {
                body($($argument),*);
            }

            match level.clamped() {
                // SAFETY: a clamped level is one that the processor has.
                #[cfg(target_arch = "x86_64")]
                $crate::level::Level::Amx | $crate::level::Level::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::level::Level::Avx2 => unsafe { avx2($($argument),*) },
                _ => body($($argument),*),
            }
        }
    };
}

pub(crate) use at_levels;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_level_is_chosen_when_the_processor_has_it() {
        assert_eq!(choose("scalar", Level::Avx512), Ok(Level::Scalar));
        assert_eq!(choose("avx2", Level::Avx2), Ok(Level::Avx2));
        assert_eq!(choose("avx512", Level::Avx512), Ok(Level::Avx512));
        assert_eq!(choose("avx512", Level::Amx), Ok(Level::Avx512));
        assert_eq!(choose("amx", Level::Amx), Ok(Level::Amx));
    }

    #[test]
    fn a_wrong_choice_is_explained() {
        let unknown = choose("AVX", Level::Avx512).unwrap_err();
        assert!(unknown.contains("\"scalar\", \"avx2\", \"avx512\" and \"amx\""), "{unknown}");
        let lacking = choose("avx512", Level::Avx2).unwrap_err();
        assert!(lacking.contains("its best is \"avx2\""), "{lacking}");
    }

    #[test]
    fn the_scalar_level_is_always_there() {
        assert_eq!(Level::available().next(), Some(Level::Scalar));
        assert!(Level::available().any(|level| level == super::level()));
    }
}
