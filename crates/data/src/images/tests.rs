use std::fs;
use std::path::PathBuf;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use tempfile::TempDir;

use super::*;
use crate::prepare::{PrepareOptions, Prepared, Source, TestSource, prepare};

/// Grey images of 3 x 2 pixels, which count up from a number.
fn grey(from: u8) -> DynamicImage {
    GrayImage::from_fn(3, 2, |x, y| image::Luma([from + (y * 3 + x) as u8])).into()
}

fn place(images: &[(&str, DynamicImage)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, image) in images {
        save(&dir.path().join(name), image);
    }
    dir
}

fn save(path: &Path, image: &DynamicImage) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.save(path).unwrap();
}

fn options(dir: &Path, size: Option<(u32, u32)>, test: TestSource) -> PrepareOptions {
    PrepareOptions { test, ..PrepareOptions::as_it_is(Source::Images { dir: dir.to_owned(), size }) }
}

fn read(dir: &Path, size: Option<(u32, u32)>) -> Prepared {
    prepare(&options(dir, size, TestSource::None)).unwrap()
}

fn message(dir: &Path, size: Option<(u32, u32)>) -> String {
    prepare(&options(dir, size, TestSource::None)).unwrap_err().to_string()
}

#[test]
fn pixels_are_columns_and_directories_are_classes() {
    let dir = place(&[("b/1.png", grey(10)), ("a/2.PNG", grey(20)), ("a/1.png", grey(30))]);
    fs::write(dir.path().join("a/.hidden"), "no image").unwrap();
    let prepared = read(dir.path(), None);
    let rows: Vec<&[f64]> = (0..3).map(|row| prepared.train.features.row(row)).collect();
    assert_eq!(
        rows,
        [[30., 31., 32., 33., 34., 35.], [20., 21., 22., 23., 24., 25.], [10., 11., 12., 13., 14., 15.]]
    );
    assert_eq!(prepared.preprocessing.classes, ["a", "b"]);
    assert_eq!(prepared.train.targets.values(), [1., 0., 1., 0., 0., 1.]);
    assert_eq!(prepared.preprocessing.feature_names[5], "pixel5");
}

#[test]
fn classes_that_are_numbers_are_in_the_order_of_numbers() {
    let dir = place(&[("10/1.png", grey(10)), ("2/1.png", grey(20)), ("-1/1.png", grey(30))]);
    let prepared = read(dir.path(), None);
    assert_eq!(prepared.preprocessing.classes, ["-1", "2", "10"]);
    let pixels: Vec<f64> = (0..3).map(|row| prepared.train.features.row(row)[0]).collect();
    assert_eq!(pixels, [30., 20., 10.]);
    assert_eq!(prepared.train.targets.values(), [1., 0., 0., 0., 1., 0., 0., 0., 1.]);
}

#[test]
fn one_image_in_colour_makes_all_of_three_columns_a_pixel() {
    let colour: DynamicImage = RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8, y as u8, 200])).into();
    let dir = place(&[("a/1.png", grey(7)), ("b/1.png", colour)]);
    let prepared = read(dir.path(), None);
    assert_eq!(prepared.train.features.cols(), 18);
    assert_eq!(prepared.train.features.row(0)[..6], [7., 7., 7., 8., 8., 8.]);
    assert_eq!(prepared.train.features.row(1)[3..6], [1., 0., 200.]);
    assert!(prepared.preprocessing.images.unwrap().in_colour);
}

#[test]
fn jpeg_is_read_nearly_as_it_was() {
    let wide: DynamicImage = GrayImage::from_fn(40, 30, |x, y| image::Luma([(x * 3 + y * 4) as u8])).into();
    let dir = place(&[("a/1.png", wide.clone()), ("b/1.jpg", wide)]);
    let prepared = read(dir.path(), None);
    let (png, jpeg) = (prepared.train.features.row(0), prepared.train.features.row(1));
    assert!(png.iter().zip(jpeg).all(|(a, b)| (a - b).abs() < 12.0) && png != jpeg);
}

#[test]
fn sizes_must_agree_or_are_made_to() {
    let large: DynamicImage =
        GrayImage::from_fn(6, 4, |x, y| image::Luma([(y / 2 * 3 + x / 2) as u8 * 20])).into();
    let dir = place(&[("a/1.png", grey(10)), ("b/1.png", large)]);
    let text = message(dir.path(), None);
    assert!(text.contains("b/1.png is no image that can be used: it has 6 x 4 pixels, and"), "{text}");
    assert!(text.contains("a/1.png has 3 x 2: give one size"), "{text}");
    let prepared = read(dir.path(), Some((3, 2)));
    // Half the size of pixels that come in fours: their values, but for the edges of the triangle filter.
    assert_eq!(prepared.train.features.row(0), [10., 11., 12., 13., 14., 15.]);
    let row = prepared.train.features.row(1);
    assert!(
        row.iter().zip([0., 20., 40., 60., 80., 100.]).all(|(a, b): (&f64, f64)| (a - b).abs() < 15.0),
        "{row:?}"
    );
    assert!(message(dir.path(), Some((0, 2))).contains("give another size"));
    assert!(message(dir.path(), Some((4000, 4000))).contains("give another size"));
}

#[test]
fn tests_and_predictions_have_the_form_of_the_training() {
    let dir = place(&[("train/a/1.png", grey(10)), ("train/b/1.png", grey(20)), ("test/b/x.png", grey(30))]);
    let (train, test) = (dir.path().join("train"), dir.path().join("test"));
    let all = || options(&train, None, TestSource::Files(vec![test.clone()]));
    let prepared = prepare(&all()).unwrap();
    let examples = prepared.test.as_ref().unwrap();
    assert_eq!((examples.features.values()[0], examples.targets.values()), (30., &[0., 1.][..]));
    let features = |dir: &Path| prepared.preprocessing.read_features(dir, 1e9);
    assert_eq!(features(&test).unwrap().values(), [30., 31., 32., 33., 34., 35.]);
    let flat = dir.path().join("new");
    save(&flat.join("2.png"), &grey(50));
    save(&flat.join("1.png"), &grey(40));
    let found = features(&flat).unwrap();
    assert_eq!((found.rows(), found.row(0)[0], found.row(1)[0]), (2, 40., 50.));
    save(&flat.join("3.png"), &GrayImage::new(2, 2).into());
    let text = features(&flat).unwrap_err().to_string();
    assert!(
        text.contains("new/3.png is no image that can be used: it has 2 x 2 pixels, and those to train on"),
        "{text}"
    );
    save(&test.join("c/1.png"), &grey(1));
    let text = prepare(&all()).unwrap_err().to_string();
    assert!(text.contains("column `label`: the class `c` does not occur in the training data"), "{text}");
}

#[test]
fn what_is_no_directory_of_images_is_explained() {
    let dir = place(&[("d/a/1.png", grey(1)), ("d/b/1.png", grey(2)), ("flat/1.png", grey(3))]);
    let of = |name: &str| dir.path().join(name);
    assert!(message(&of("no"), None).contains("no does not exist"));
    assert!(message(&of("flat"), None).contains("flat cannot be read as images: it has no sub-directories"));
    fs::create_dir(of("empty")).unwrap();
    assert!(message(&of("empty"), None).contains("it has no images"));
    let check = |path: PathBuf, bytes: &[u8], part: &str| {
        fs::write(&path, bytes).unwrap();
        let text = message(&of("d"), None);
        assert!(text.contains(part) && text.contains(&*path.to_string_lossy()), "{text}");
        fs::remove_file(path).unwrap();
    };
    check(of("d/beside.png"), b"", "is beside its sub-directories");
    check(of("d/a/notes.txt"), b"", "only .png, .jpg and .jpeg files");
    check(of("d/a/2.png"), b"no image", "is no image that can be used");
    check(of("d/a/2.png"), b"", "is no image that can be used");
    let mut whole = std::io::Cursor::new(vec![]);
    let noise = GrayImage::from_fn(3, 2, |x, y| image::Luma([(x * 97 + y * 31) as u8]));
    noise.write_to(&mut whole, ImageFormat::Png).unwrap();
    let whole = whole.into_inner();
    check(of("d/a/2.png"), &whole[..whole.len() - 20], "is no image that can be used");
    let mut damaged = whole.clone();
    damaged[45] ^= 0x55;
    check(of("d/a/2.png"), &damaged, "is no image that can be used");
    // A head that promises 60,000 x 60,000 pixels; its checksum is right.
    let mut huge = whole;
    huge[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let mut crc = flate2::Crc::new();
    crc.update(&huge[12..29]);
    huge[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    fs::remove_dir_all(of("d/b")).unwrap();
    fs::create_dir(of("d/b")).unwrap();
    fs::remove_file(of("d/a/1.png")).unwrap();
    fs::write(of("d/a/1.png"), &huge).unwrap();
    save(&of("d/b/1.png"), &grey(2));
    let text = message(&of("d"), Some((3, 2)));
    assert!(text.contains("a/1.png is no image that can be used"), "{text}");
}
