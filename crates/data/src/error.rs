//! The error of this crate: what is wrong, where, why, and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::scaling::Scaling;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, DataError>;

/// Where a value stands: a file, a row and a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, or `None` for a matrix that was made in memory.
    pub file: Option<PathBuf>,
    /// The row as in the file: the header of a CSV file is row 1; items of other files count from 1.
    pub row: u64,
    /// The column's name.
    pub column: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}, ", file.display())?;
        }
        write!(f, "row {}, column {}", self.row, quoted(&self.column))
    }
}

/// Everything that can go wrong with data, share files and model files.
///
/// Each message is one sentence for whoever owns the data: what is wrong, where, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or directory does not exist.
    #[error("{path} does not exist: check the path")]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused to read or write.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was attempted, as an infinitive: `read`, `write`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The disk is full.
    #[error("there is no room left for {path}: free some on its disk, or name a directory on another one")]
    DiskFull {
        /// The file or directory.
        path: PathBuf,
    },
    /// Other users of the machine may read a storage key.
    #[error("other users may read the key {path} (mode {mode:03o}): chmod 600 {path}")]
    KeyIsOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file's name does not say in which format a table is to be written.
    #[error("{path} is no name for a table to be written: let it end with .csv or .npy")]
    TableFormat {
        /// The path.
        path: PathBuf,
    },
    /// A table that makes no sense was asked for.
    #[error("such a table cannot be generated: {problem}")]
    Generate {
        /// What is wrong.
        problem: &'static str,
    },
    /// The operating system has no random bytes.
    #[error("the operating system gave no random bytes: {source}")]
    Randomness {
        /// The reason.
        source: getrandom::Error,
    },

    /// No CSV file was named.
    #[error("no data file is named: name at least one CSV file")]
    NoFiles,
    /// A CSV file has no bytes, or only blank lines.
    #[error("{path} is empty: its first row must be the column names, followed by one row per example")]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// A CSV file has a header and nothing else.
    #[error("{path} has a header and no data: add at least one row below the column names")]
    HeaderOnly {
        /// The file.
        path: PathBuf,
    },
    /// A row is not UTF-8.
    #[error("{path}, row {row}: the text is not UTF-8: save the file as UTF-8")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The row.
        row: u64,
    },
    /// A row has another number of cells than the header.
    #[error(
        "{path}, row {row}: the row has {found} {}, but the header names {expected} columns: \
         complete the row, and quote cells that contain a comma", plural(*found, "cell")
    )]
    RaggedRow {
        /// The file.
        path: PathBuf,
        /// The row.
        row: u64,
        /// The number of columns.
        expected: usize,
        /// The number of cells in the row.
        found: usize,
    },
    /// A row is too long to be one.
    #[error(
        "{path}, row {row}: the row is longer than {} MB: check that every line ends, and that every quote is closed",
        .limit >> 20
    )]
    LongRow {
        /// The file.
        path: PathBuf,
        /// The row.
        row: u64,
        /// The longest row, in bytes.
        limit: usize,
    },
    /// A file is another one than a moment ago.
    #[error("{path} changed while it was read: leave it alone until the end, and start again")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Two columns have one name.
    #[error(
        "{path}, row 1: the column name {} occurs twice: give every column its own name", quoted(.column)
    )]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
    },
    /// A column has no name.
    #[error(
        "{path}, row 1: column {position} has no name: name it, or remove it if it only numbers the rows"
    )]
    UnnamedColumn {
        /// The file.
        path: PathBuf,
        /// The column's position, counted from 1.
        position: usize,
    },
    /// The target column does not exist.
    #[error(
        "{path} has no column {}{}: name one of its columns as the target: {}",
        quoted(.target), meant(.nearest.as_deref()), listed(.columns)
    )]
    MissingTarget {
        /// The file.
        path: PathBuf,
        /// The name that was asked for.
        target: String,
        /// The columns that exist.
        columns: Vec<String>,
        /// The existing name most like the one asked for.
        nearest: Option<String>,
    },
    /// The target is the only column.
    #[error("{path} has no column besides the target {}: add at least one feature column", quoted(.target))]
    NoFeatures {
        /// The file.
        path: PathBuf,
        /// The target column.
        target: String,
    },
    /// A cell is empty.
    #[error("{place}: the cell is empty: fill in the value, or remove the row or the column")]
    EmptyCell {
        /// The cell.
        place: Place,
    },
    /// A rule is about a column that does not exist.
    #[error(
        "{path} has no column {}{} that could have {what}: name one of its feature columns: {}",
        quoted(.column), meant(.nearest.as_deref()), listed(.columns)
    )]
    MissingRuled {
        /// The file.
        path: PathBuf,
        /// The name that was given.
        column: String,
        /// `categories`, `dates` or `missing values`.
        what: &'static str,
        /// The columns that exist.
        columns: Vec<String>,
        /// The existing name most like the one given.
        nearest: Option<String>,
    },
    /// A rule for features is about the target.
    #[error(
        "{path}, column {}: the column is the target, and rules for {what} are for features: leave it out",
        quoted(.target)
    )]
    RuleForTarget {
        /// The file.
        path: PathBuf,
        /// The target column.
        target: String,
        /// `categories`, `dates` or `missing values`.
        what: &'static str,
    },
    /// What was said of the categories of a column makes no sense.
    #[error("the column {} cannot have these categories: {problem}", quoted(.column))]
    Categories {
        /// The column.
        column: String,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// What is to stand in for missing values is no number that can.
    #[error("{constant} cannot stand in for missing values: choose a finite number below 2^63")]
    MissingConstant {
        /// The number.
        constant: f64,
    },
    /// No training row has a value from which a mean could be computed.
    #[error(
        "{}, column {}: no training row has a value, so that there is no mean: choose a constant, or remove the \
         column", .path.display(), quoted(.column)
    )]
    NoValues {
        /// The (first) file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A column has too many different values to be categories.
    #[error(
        "{place}: the column has more than {limit} different values: it holds no categories, so give it as numbers, \
         or put some of them together"
    )]
    TooManyCategories {
        /// The cell with the first category too many.
        place: Place,
        /// The largest number of categories.
        limit: usize,
    },
    /// A category is not in the list of its column.
    #[error(
        "{place}: {} is none of the categories of this column, which are {}: correct the cell, remove the row, or \
         train anew with a list that has it", quoted(.category), listed(.known)
    )]
    UnknownCategory {
        /// The cell.
        place: Place,
        /// The category.
        category: String,
        /// The categories of the column.
        known: Vec<String>,
    },
    /// A cell is no date.
    #[error(
        "{place}: {} is no date {}: correct the cell, or say how the dates are written", quoted(.text),
        .format.as_ref().map_or_else(
            || "of ISO 8601, such as 2026-03-01 or 2026-03-01T12:30:00".to_owned(),
            |format| format!("of the form {}", quoted(format))
        )
    )]
    BadDate {
        /// The cell.
        place: Place,
        /// Its text.
        text: String,
        /// The format, if it is not ISO 8601.
        format: Option<String>,
    },
    /// A column of dates is read as something else.
    #[error(
        "{place}: the column holds dates: say that it does, turn them into numbers, or remove the column"
    )]
    DateColumn {
        /// The first cell.
        place: Place,
    },
    /// A format of dates is none.
    #[error("{} is no format of dates ({problem}): give one such as `%d.%m.%Y`", quoted(.format))]
    DateFormat {
        /// The format.
        format: String,
        /// What is wrong.
        problem: String,
    },
    /// A feature is text.
    #[error(
        "{place}: {} is not a number: features must be numbers, so say that the column holds \
         categories or dates, fill in missing values, or remove it", quoted(.text)
    )]
    NotANumber {
        /// The cell.
        place: Place,
        /// Its text.
        text: String,
    },
    /// A regression target is text.
    #[error(
        "{place}: the target {} is not a number: regression predicts numbers, so correct the cell, or choose \
         classification if the column holds classes", quoted(.text)
    )]
    TextTarget {
        /// The cell.
        place: Place,
        /// Its text.
        text: String,
    },
    /// A cell holds NaN or infinity.
    #[error(
        "{place}: {} is not a finite number: fill in a value, or remove the row or the column", quoted(.text)
    )]
    NotFinite {
        /// The cell.
        place: Place,
        /// Its text.
        text: String,
    },
    /// A number is too large for fixed-point arithmetic.
    #[error(
        "{place}: {} is beyond ±{}, the range of the fixed-point numbers: correct the value, or give the column \
         in a larger unit", quoted(.text), number(*.limit)
    )]
    OutOfRange {
        /// The cell.
        place: Place,
        /// Its text.
        text: String,
        /// The largest magnitude.
        limit: f64,
    },
    /// A feature is too large after scaling.
    #[error("{place}: {}", beyond(*.value, *.scaled, *.limit, *.scaling))]
    ScaledOutOfRange {
        /// The cell.
        place: Place,
        /// The number in the cell.
        value: f64,
        /// The number after scaling.
        scaled: f64,
        /// The largest magnitude.
        limit: f64,
        /// The scaling.
        scaling: Scaling,
    },
    /// A regression target is too large after scaling.
    #[error(
        "{place}: the target {} is {} after scaling, beyond ±{}: correct the value, remove the outlier, or \
         choose standard scaling of the target", number(*.value), number(*.scaled), number(*.limit)
    )]
    TargetOutOfRange {
        /// The cell.
        place: Place,
        /// The number in the cell.
        value: f64,
        /// The number after scaling.
        scaled: f64,
        /// The largest magnitude.
        limit: f64,
    },
    /// All training rows have one class.
    #[error(
        "{}, column {}: every training row has the class {}: classification needs rows of at least two classes",
        .path.display(), quoted(.target), quoted(.class)
    )]
    OneClass {
        /// The (first) file.
        path: PathBuf,
        /// The target column.
        target: String,
        /// The class.
        class: String,
    },
    /// The target column has too many different values to be classes.
    #[error(
        "{place}: the target has more than {limit} different values: choose regression if the column holds \
         numbers, or another target column"
    )]
    TooManyClasses {
        /// The cell with the first class too many.
        place: Place,
        /// The largest number of classes.
        limit: usize,
    },
    /// A class of a test file does not occur in the training files.
    #[error(
        "{place}: the class {} does not occur in the training data, whose classes are {}: correct the cell, \
         remove the row, or add training rows of this class", quoted(.class), listed(.known)
    )]
    UnknownClass {
        /// The cell.
        place: Place,
        /// The class.
        class: String,
        /// The classes of the training data.
        known: Vec<String>,
    },
    /// All training targets of a regression are equal.
    #[error(
        "{}, column {}: every training row has the target {}: there is nothing to learn, so check the target \
         column", .path.display(), quoted(.target), number(*.value)
    )]
    ConstantTarget {
        /// The (first) file.
        path: PathBuf,
        /// The target column.
        target: String,
        /// The value.
        value: f64,
    },
    /// No feature column varies.
    #[error(
        "{path}: every feature column is constant in the training rows: there is nothing to learn from, so add \
         rows that differ"
    )]
    ConstantFeatures {
        /// The (first) file.
        path: PathBuf,
    },
    /// Two files of one data set have different columns.
    #[error(
        "{path} and {first} have different columns: {difference}: files of one data set need the same columns in \
         the same order"
    )]
    ColumnsDiffer {
        /// The first file.
        first: PathBuf,
        /// The file that differs.
        path: PathBuf,
        /// How it differs.
        difference: String,
    },
    /// A file lacks columns that the training data have.
    #[error(
        "{path} lacks {} {}: give the columns of the training data", plural(.columns.len(), "column"), listed(.columns)
    )]
    MissingColumns {
        /// The file.
        path: PathBuf,
        /// The missing columns.
        columns: Vec<String>,
    },
    /// A file has columns that the training data do not have.
    #[error(
        "{path} has {} {} unknown to the training data: remove what is not one of its columns",
        plural(.columns.len(), "column"), listed(.columns)
    )]
    UnknownColumns {
        /// The file.
        path: PathBuf,
        /// The columns that are too many.
        columns: Vec<String>,
    },
    /// A matrix has another number of columns than the preprocessing.
    #[error(
        "the matrix has {found} columns, but the preprocessing has {expected}: use the statistics of the \
         same data set"
    )]
    ColumnCount {
        /// The number of columns of the preprocessing.
        expected: usize,
        /// The number of columns of the matrix.
        found: usize,
    },

    /// A test fraction is not between 0 and 1.
    #[error("the test fraction {fraction} is not between 0 and 1: choose for instance 0.2")]
    BadFraction {
        /// The fraction.
        fraction: f64,
    },
    /// The hold-out leaves the test or the training part empty.
    #[error(
        "a test fraction of {fraction} of {rows} {} leaves no {empty} rows: choose another fraction, or add rows",
        plural(*.rows, "row")
    )]
    EmptyPart {
        /// The fraction.
        fraction: f64,
        /// The number of rows in all.
        rows: usize,
        /// The part without rows: `test` or `training`.
        empty: &'static str,
    },
    /// The data source does not have the test part that was asked for.
    #[error("{problem}")]
    TestSource {
        /// What does not fit, and what to do.
        problem: &'static str,
    },

    /// A file is no NPY file that can be read.
    #[error("{path} cannot be read as an array of NumPy: {problem}")]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A file is no NPZ file that can be read.
    #[error("{path} cannot be read as an archive of arrays of NumPy: {problem}")]
    Npz {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// An NPY file is shorter or longer than its header says.
    #[error("{path} has {found} bytes, but its header promises {expected}: write the file again")]
    NpyLength {
        /// The file.
        path: PathBuf,
        /// The right length.
        expected: u64,
        /// Its length.
        found: u64,
    },

    /// A file is no Parquet file that can be read.
    #[error("{path} cannot be read as a Parquet table: {problem}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },

    /// A directory of images cannot be read.
    #[error("{path} cannot be read as images: {problem}")]
    Images {
        /// The directory.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A file is no image, or not one like the others.
    #[error("{path} is no image that can be used: {problem}")]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A database gives no rows.
    #[error("{database} refuses the query: {problem}")]
    Sql {
        /// The database, without user and password.
        database: String,
        /// What it says.
        problem: String,
    },
    /// Predictions cannot be written as Parquet.
    #[error("{path} cannot be written: {problem}")]
    ParquetOutput {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        problem: &'static str,
    },
    /// A file is no Arrow IPC file that can be read.
    #[error("{path} cannot be read as an Arrow table: {problem}")]
    Arrow {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },

    /// A file is no network that can be read, or a network cannot be written.
    #[error("{path} is no network that shamisen can take over: {problem}")]
    OpenModel {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },

    /// A directory lacks one of the IDX files.
    #[error("{dir} has no file {name} (or {name}.gz): the four MNIST files belong in this directory")]
    MissingIdxFile {
        /// The directory.
        dir: PathBuf,
        /// The file's usual name.
        name: String,
    },
    /// An IDX file does not begin with the right magic number.
    #[error(
        "{path} begins with 0x{found:08x}, but an IDX file of {what} begins with 0x{expected:08x}: check that the \
         file is what its name says"
    )]
    IdxMagic {
        /// The file.
        path: PathBuf,
        /// `images` or `labels`.
        what: &'static str,
        /// The right number.
        expected: u32,
        /// The number found.
        found: u32,
    },
    /// An IDX file is shorter or longer than its header says.
    #[error("{path} has {found} bytes, but its header promises {expected}: fetch the file again")]
    IdxLength {
        /// The file.
        path: PathBuf,
        /// The right length of the (uncompressed) file.
        expected: u64,
        /// Its length; for a compressed file that is too long, the first length beyond.
        found: u64,
    },
    /// The header of an IDX file makes no sense.
    #[error(
        "{path} promises {rows} images of {height} x {width} pixels, which is not plausible: fetch the file \
         again"
    )]
    IdxSize {
        /// The file.
        path: PathBuf,
        /// The number of images.
        rows: u32,
        /// Pixels of a column.
        height: u32,
        /// Pixels of a row.
        width: u32,
    },
    /// There are more images than labels, or fewer.
    #[error(
        "{images} holds {image_count} images, but {labels} holds {label_count} labels: fetch both files \
         from one source"
    )]
    IdxCounts {
        /// The file of the images.
        images: PathBuf,
        /// The number of images.
        image_count: u32,
        /// The file of the labels.
        labels: PathBuf,
        /// The number of labels.
        label_count: u32,
    },
    /// A directory has the files of several data sets.
    #[error(
        "{dir} has several data sets, {}: put the four files of the one that is meant into a directory of their own",
        .names.join(" and ")
    )]
    SeveralIdx {
        /// The directory.
        dir: PathBuf,
        /// What their names begin with.
        names: Vec<String>,
    },
    /// Training and test images have different sizes.
    #[error(
        "the images of {train} have {train_pixels} pixels, but those of {test} have {test_pixels}: fetch \
         both files from one source"
    )]
    IdxPixels {
        /// The training images.
        train: PathBuf,
        /// Their pixels.
        train_pixels: usize,
        /// The test images.
        test: PathBuf,
        /// Their pixels.
        test_pixels: usize,
    },

    /// The name of a share file or of a data set has characters that may not be in it.
    #[error(
        "{} is not usable as a name: use letters, digits, `-`, `_` and `.`, and begin with a letter or \
         digit", quoted(.name)
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// The number of fractional bits is out of range.
    #[error("{frac} fractional bits are too many: choose at most {max}")]
    TooManyFractionalBits {
        /// The number asked for.
        frac: u32,
        /// The largest number.
        max: u32,
    },
    /// A matrix is empty or has more rows than a share file can hold.
    #[error(
        "a share file cannot hold a matrix of {rows} rows and {cols} columns: give 1 to {max_rows} rows, and \
         at least one column", max_rows = u32::MAX
    )]
    ShareSize {
        /// The number of rows.
        rows: usize,
        /// The number of columns.
        cols: usize,
    },
    /// Two parties' directories are one.
    #[error(
        "{dir} is the directory of two parties: give each party its own, since two shares together reveal \
         the data"
    )]
    SameDirectory {
        /// The directory.
        dir: PathBuf,
    },
    /// There are three parties: 0, 1 and 2.
    #[error("there is no party {party}: the parties are 0, 1 and 2")]
    NoSuchParty {
        /// The number.
        party: usize,
    },
    /// A file is of another kind.
    #[error("{path} is not {expected}: check that the path names the right file")]
    WrongFormat {
        /// The file.
        path: PathBuf,
        /// What it should be, with article.
        expected: &'static str,
    },
    /// A file was written by another version of Shamisen.
    #[error(
        "{path} has format version {found}, but this version of shamisen reads version {supported}: use the \
         version that wrote it"
    )]
    WrongVersion {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: u32,
        /// The version that can be read.
        supported: u32,
    },
    /// A file is shorter or longer than it must be.
    #[error(
        "{path} has {found} bytes where {expected} are expected: the file is truncated or damaged, so copy \
         it again from its source"
    )]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// The right length.
        expected: u64,
        /// The length found.
        found: u64,
    },
    /// A file's contents do not match its checksum.
    #[error("{path} is damaged ({problem}): copy it again from its source")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What shows it.
        problem: String,
    },
    /// A share file belongs to another party.
    #[error(
        "{path} is the share of party {found}, but party {expected} needs its own: exchange the files, and \
         take care that no party sees a second share"
    )]
    WrongParty {
        /// The file.
        path: PathBuf,
        /// The party that reads.
        expected: usize,
        /// The party it was made for.
        found: usize,
    },
    /// The directories of two parties are of different sharings.
    #[error(
        "{first} and {dir} are of different sharings: put together the three directories that one sharing wrote"
    )]
    OtherSharing {
        /// The directory of party 0.
        first: PathBuf,
        /// The directory that differs.
        dir: PathBuf,
    },
    /// A share file belongs to another data set.
    #[error(
        "{path} belongs to the data set {found}, but the description is of the data set {expected}: use the \
         files of one sharing"
    )]
    OtherDataset {
        /// The share file.
        path: PathBuf,
        /// The id in the description.
        expected: String,
        /// The id in the share file.
        found: String,
    },
    /// A row index is beyond the end of a share file.
    #[error("{path} has {rows} rows, but row index {row} was asked for: indices count from 0")]
    NoSuchRow {
        /// The file.
        path: PathBuf,
        /// The index.
        row: u32,
        /// The number of rows.
        rows: usize,
    },
    /// A buffer or a list has the wrong length.
    #[error("{operation}: {expected} values are expected, but {found} were given")]
    Length {
        /// The operation.
        operation: &'static str,
        /// The right length.
        expected: usize,
        /// The length found.
        found: usize,
    },

    /// A model directory lacks a party's share.
    #[error(
        "{path} is missing: the model needs the share of party {party}, so copy it from where the model was \
         trained"
    )]
    MissingShare {
        /// The file.
        path: PathBuf,
        /// The party.
        party: usize,
    },
    /// A share belongs to another model.
    #[error(
        "{path} belongs to the model {found}, but the description is of the model {expected}: use the share \
         of the same training"
    )]
    OtherModel {
        /// The share file.
        path: PathBuf,
        /// The id in the description.
        expected: String,
        /// The id in the share.
        found: String,
    },
    /// A share has another number of parameters than the description says.
    #[error(
        "{path} holds {found} parameters, but the description says {expected}: use files of the same training"
    )]
    ParameterCount {
        /// The share file.
        path: PathBuf,
        /// The number in the description.
        expected: u64,
        /// The number in the share.
        found: u64,
    },
    /// The shares of two parties contradict each other.
    #[error(
        "the shares of parties {left} and {right} in {dir} contradict each other: copy both from where the \
         model was trained"
    )]
    InconsistentShares {
        /// The model directory.
        dir: PathBuf,
        /// A party.
        left: usize,
        /// The party after it.
        right: usize,
    },
    /// A description or the statistics do not make sense.
    #[error("{path} does not make sense ({problem}): use the file as shamisen wrote it")]
    BadDescription {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl DataError {
    /// An error of the operating system while doing `action` with `path`.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            return Self::NotFound { path: path.to_owned() };
        }
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::DiskFull { path: path.to_owned() };
        }
        Self::Io { action, path: path.to_owned(), source }
    }

    /// A checksum, or a structure under it, which is not right.
    pub(crate) fn damaged(path: &Path, problem: impl fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.to_string() }
    }
}

/// Text of a file between backquotes: control characters escaped, and cut after 60 characters.
pub(crate) fn quoted(text: &str) -> String {
    const MAX: usize = 60;
    let mut out = String::from("`");
    for (i, c) in text.chars().enumerate() {
        if i == MAX {
            out.push('…');
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out.push('`');
    out
}

/// Up to twenty names.
fn listed(names: &[String]) -> String {
    const MAX: usize = 20;
    let shown: Vec<String> = names.iter().take(MAX).map(|name| quoted(name)).collect();
    let rest = names.len().saturating_sub(MAX);
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean {}?)", quoted(name))).unwrap_or_default()
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

/// A number with up to six significant digits.
fn number(value: f64) -> String {
    if value != 0.0 && !(1e-4..1e9).contains(&value.abs()) {
        return format!("{value:.3e}");
    }
    let digits = (5 - value.abs().max(1.0).log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn beyond(value: f64, scaled: f64, limit: f64, scaling: Scaling) -> String {
    let (value, scaled, limit) = (number(value), number(scaled), number(limit));
    match scaling {
        Scaling::None => {
            format!(
                "the value {value} is beyond ±{limit}: choose standard or min-max scaling, or correct the value"
            )
        }
        Scaling::Standard => format!(
            "the value {value} is {scaled} after standard scaling, beyond ±{limit}: correct the value, remove the \
             outlier, or choose min-max scaling"
        ),
        Scaling::MinMax => format!(
            "the value {value} is {scaled} after min-max scaling, beyond ±{limit}: correct the value, remove the \
             outlier, or choose standard scaling"
        ),
    }
}

#[cfg(test)]
mod tests;
