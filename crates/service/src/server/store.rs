//! What a server remembers: records in an embedded database, which survives a crash at any moment.

use core::marker::PhantomData;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Result, ServiceError};

/// Name of the database in the data directory.
const FILE: &str = "state.redb";

/// Ids that were used once, of uploads and jobs, with what they were used for; they are never forgotten.
const USED: TableDefinition<&str, &str> = TableDefinition::new("used");

/// The database of a server.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
    path: PathBuf,
}

impl Store {
    /// Opens the database in a directory, or makes it.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| ServiceError::io("write", &path, error))?;
        let database = FileBackend::new(file).and_then(|file| Database::builder().create_with_backend(file));
        let database = database.map_err(|error| failed(&path, error))?;
        Ok(Self { database, path })
    }

    /// Reads from one moment's state.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        let transaction = self.database.begin_read().map_err(|error| failed(&self.path, error))?;
        work(&Read { transaction, path: &self.path })
    }

    /// Changes the state: when this returns, the disk has all of it; after an error, none.
    pub(crate) fn write<T, E: From<ServiceError>>(
        &self,
        work: impl FnOnce(&Write<'_>) -> core::result::Result<T, E>,
    ) -> core::result::Result<T, E> {
        let transaction = self.database.begin_write().map_err(|error| failed(&self.path, error))?;
        let write = Write { transaction, path: &self.path };
        // Dropped, a transaction leaves nothing.
        let result = work(&write)?;
        write.transaction.commit().map_err(|error| failed(&self.path, error))?;
        Ok(result)
    }
}

/// The state at one moment.
pub(crate) struct Read<'a> {
    transaction: ReadTransaction,
    path: &'a Path,
}

/// A change of the state.
pub(crate) struct Write<'a> {
    transaction: WriteTransaction,
    path: &'a Path,
}

impl Write<'_> {
    /// Uses an id for something; false if it was used before.
    pub(crate) fn use_id(&self, id: &str, what: &str) -> Result<bool> {
        let failed = |error: redb::Error| failed(self.path, error);
        let mut used = self.transaction.open_table(USED).map_err(|error| failed(error.into()))?;
        if used.get(id).map_err(|error| failed(error.into()))?.is_some() {
            return Ok(false);
        }
        used.insert(id, what).map_err(|error| failed(error.into()))?;
        Ok(true)
    }
}

/// Where records can be looked up.
pub(crate) trait Look {
    /// What a table has under a key.
    fn value(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>>;

    /// All that a table has, in the order of the keys.
    fn values(&self, table: &str) -> Result<Vec<(String, Vec<u8>)>>;

    /// The file, for messages.
    fn path(&self) -> &Path;
}

impl Look for Read<'_> {
    fn value(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let opened = self.transaction.open_table(TableDefinition::<&str, &[u8]>::new(table));
        look_up(existing(opened, self.path)?, key, self.path)
    }

    fn values(&self, table: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let opened = self.transaction.open_table(TableDefinition::<&str, &[u8]>::new(table));
        list(existing(opened, self.path)?, self.path)
    }

    fn path(&self) -> &Path {
        self.path
    }
}

impl Look for Write<'_> {
    fn value(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let opened = self.transaction.open_table(TableDefinition::<&str, &[u8]>::new(table));
        look_up(existing(opened, self.path)?, key, self.path)
    }

    fn values(&self, table: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let opened = self.transaction.open_table(TableDefinition::<&str, &[u8]>::new(table));
        list(existing(opened, self.path)?, self.path)
    }

    fn path(&self) -> &Path {
        self.path
    }
}

/// A table, if anything was ever put into it.
fn existing<T>(opened: core::result::Result<T, TableError>, path: &Path) -> Result<Option<T>> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

type Bytes = &'static [u8];

fn look_up(
    table: Option<impl ReadableTable<&'static str, Bytes>>,
    key: &str,
    path: &Path,
) -> Result<Option<Vec<u8>>> {
    let Some(table) = table else { return Ok(None) };
    let value = table.get(key).map_err(|error| failed(path, error))?;
    Ok(value.map(|value| value.value().to_vec()))
}

fn list(
    table: Option<impl ReadableTable<&'static str, Bytes>>,
    path: &Path,
) -> Result<Vec<(String, Vec<u8>)>> {
    let Some(table) = table else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for item in table.iter().map_err(|error| failed(path, error))? {
        let (key, value) = item.map_err(|error| failed(path, error))?;
        found.push((key.value().to_owned(), value.value().to_vec()));
    }
    Ok(found)
}

/// A kind of records, kept as JSON under their ids.
pub(crate) struct Records<T> {
    table: &'static str,
    kind: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Records<T> {
    /// Those that are kept in the table of this name.
    pub(crate) const fn new(table: &'static str) -> Self {
        Self { table, kind: PhantomData }
    }

    /// The record with an id.
    pub(crate) fn get(&self, state: &impl Look, id: &str) -> Result<Option<T>> {
        let value = state.value(self.table, id)?;
        value.map(|value| understood(&value, state.path())).transpose()
    }

    /// All records, in the order of their ids.
    pub(crate) fn all(&self, state: &impl Look) -> Result<Vec<(String, T)>> {
        let values = state.values(self.table)?.into_iter();
        values.map(|(id, value)| Ok((id, understood(&value, state.path())?))).collect()
    }

    /// Removes a record, if it is there.
    pub(crate) fn remove(&self, state: &Write<'_>, id: &str) -> Result<()> {
        let definition = TableDefinition::<&str, &[u8]>::new(self.table);
        let mut table =
            state.transaction.open_table(definition).map_err(|error| failed(state.path, error))?;
        table.remove(id).map_err(|error| failed(state.path, error))?;
        Ok(())
    }

    /// Keeps a record, in the place of one that was there.
    pub(crate) fn put(&self, state: &Write<'_>, id: &str, record: &T) -> Result<()> {
        let json = serde_json::to_vec(record)
            .map_err(|error| ServiceError::io("write", state.path, io::Error::from(error)))?;
        let definition = TableDefinition::<&str, &[u8]>::new(self.table);
        let mut table =
            state.transaction.open_table(definition).map_err(|error| failed(state.path, error))?;
        table.insert(id, json.as_slice()).map_err(|error| failed(state.path, error))?;
        Ok(())
    }
}

fn understood<T: DeserializeOwned>(json: &[u8], path: &Path) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| ServiceError::io("read", path, io::Error::from(error)))
}

fn failed(path: &Path, error: impl Into<redb::Error>) -> ServiceError {
    match error.into() {
        redb::Error::Io(error) => ServiceError::io("use", path, error),
        error => ServiceError::io("use", path, io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NUMBERS: Records<u32> = Records::new("numbers");

    #[test]
    fn what_was_written_is_there_after_a_new_start() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.read(|state| NUMBERS.all(state)).unwrap(), []);
        store
            .write(|state| {
                NUMBERS.put(state, "b", &2)?;
                NUMBERS.put(state, "a", &1)?;
                assert_eq!(NUMBERS.get(state, "a")?, Some(1));
                assert!(state.use_id("x", "job")?);
                Ok::<_, ServiceError>(())
            })
            .unwrap();
        let refused = store.write(|state| {
            NUMBERS.put(state, "c", &3)?;
            Err::<(), _>(ServiceError::Randomness)
        });
        assert!(refused.is_err());
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        let all = store.read(|state| NUMBERS.all(state)).unwrap();
        assert_eq!(all, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert!(!store.write(|state| state.use_id("x", "upload")).unwrap());
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
