//! The place of the tables in a Markdown file.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use shamisen_local::store::{check_writable, parent, write_atomically};

use crate::failure::{Failure, Result};

/// The lines between which the tables stand.
const BEGIN: &str = "<!-- shamisen bench paper: begin -->\n";
const END: &str = "<!-- shamisen bench paper: end -->\n";

/// The place of the tables in a Markdown file, and what is around it.
pub(super) struct Section {
    path: PathBuf,
    before: String,
    after: String,
}

impl Section {
    /// The section that an earlier run wrote into a file, or the only one of a new file.
    ///
    /// Fails if the file is there and has no such section, or cannot be read or written.
    pub(super) fn find(path: &Path) -> Result<Self> {
        check_writable(path)?;
        let section = |before: &str, after: &str| Self {
            path: path.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(section("", "")),
            Err(error) => return Err(Failure::file("read", path, &error)),
        };
        let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
        let (before, after) = parts.ok_or_else(|| {
            Failure::input(format!(
                "{} has no place for the tables: name a new file, or write the lines `{}` and `{}` where they belong",
                path.display(),
                BEGIN.trim_end(),
                END.trim_end()
            ))
        })?;
        Ok(section(before, after))
    }

    /// A path as seen from the file.
    pub(super) fn link(&self, path: &Path) -> String {
        path.strip_prefix(parent(&self.path)).unwrap_or(path).display().to_string()
    }

    /// Writes the file with these tables.
    pub(super) fn write(&self, tables: &str) -> Result<()> {
        let Self { path, before, after } = self;
        Ok(write_atomically(path, format!("{before}{BEGIN}{tables}{END}{after}").as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use shamisen_local::Failure::Input;

    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.md");
        Section::find(&path).unwrap().write("old\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("# Title\n{text}The end.\n")).unwrap();
        let section = Section::find(&path).unwrap();
        section.write("new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("# Title\n{BEGIN}new\n{END}The end.\n"));
        assert_eq!(section.link(&dir.path().join("plots/a.svg")), "plots/a.svg");
        assert_eq!(section.link(Path::new("elsewhere/a.svg")), "elsewhere/a.svg");
    }

    #[test]
    fn other_files_stay_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.md");
        fs::write(&path, "# Title\n").unwrap();
        let Err(Failure::Told(Input(message))) = Section::find(&path) else { panic!("it was found") };
        assert!(message.text.contains("has no place for the tables"), "{}", message.text);
    }
}
