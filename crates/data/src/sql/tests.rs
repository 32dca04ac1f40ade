use super::*;

#[test]
fn passwords_are_not_shown() {
    for (url, shown) in [
        ("postgres://zoe:se%40cret@localhost:5432/hospital", "postgres://localhost:5432/hospital"),
        ("postgresql://zoe:secret@localhost/hospital?sslmode=disable", "postgres://localhost/hospital"),
        ("postgres://zoe:cr?et@localhost/x", "postgres://..."),
        ("postgres://zoe:a@cret@localhost/x", "postgres://..."),
        ("postgres://localhost/x?user=zoe&password=s@cret", "postgres://..."),
        ("postgres://localhost/x", "postgres://localhost/x"),
        ("Postgres://zoe:secret@localhost/x", "postgres://localhost/x"),
        ("POSTGRESQL://zoe:secret@localhost/x", "postgres://localhost/x"),
        ("postgresql+psycopg2://zoe:secret@localhost/x", "..."),
        ("mysql://zoe:secret@localhost/x", "..."),
        ("postgres:zoe:secret@localhost/x", "..."),
        ("zoe:secret@localhost/x", "..."),
        ("host=localhost user=zoe password=secret", "..."),
        ("host=localhost user=zoe PASSWORD = 'secret'", "..."),
        ("Driver=PostgreSQL;Uid=zoe;Pwd=secret", "..."),
        ("sqlite:rows.db", "rows.db"),
        ("SQLite:rows.db", "rows.db"),
        ("sqlite:2026:a@b.db", "2026:a@b.db"),
        ("dir/rows.db", "dir/rows.db"),
    ] {
        let Ok(database) = url.parse::<Database>();
        assert_eq!(database.shown(), shown);
        let debug = format!("{database:?}");
        assert!(!debug.contains("cret") && !debug.contains("zoe"), "{debug}");
    }
}

#[cfg(feature = "sql")]
mod with_feature {
    use std::fmt::Write;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use rusqlite::Connection;

    use crate::columns::{ColumnRules, DateFormat, MissingRule};
    use crate::prepare::{PrepareOptions, Prepared, Source, TestSource, prepare};
    use crate::scaling::{Scaling, TargetScaling};
    use crate::table::TargetKind;

    fn options(source: Source) -> PrepareOptions {
        PrepareOptions {
            source,
            test: TestSource::None,
            known: None,
            columns: ColumnRules {
                categorical: [("ward".to_owned(), None)].into(),
                dates: [("born".to_owned(), DateFormat::default())].into(),
                missing: Some(MissingRule::Mean),
                ..ColumnRules::default()
            },
            scaling: Scaling::None,
            target_scaling: TargetScaling::None,
            seed: 1,
            feature_limit: 1e9,
            target_limit: 1e9,
        }
    }

    fn query(query: &str, database: &str) -> Source {
        let (query, Ok(database)) = (query.to_owned(), database.parse());
        Source::Query { query, database, target: Some("y".to_owned()), kind: Some(TargetKind::Number) }
    }

    fn message(text: &str, database: &str) -> String {
        prepare(&options(query(text, database))).unwrap_err().to_string()
    }

    /// Statements that make the table `t`, and the same rows as CSV.
    const ROWS: &str = "CREATE TABLE t (id INTEGER, ward TEXT, age DOUBLE PRECISION, born DATE, y INTEGER);
        INSERT INTO t VALUES (1, 'A', 30.25, '1950-01-01', 1), (2, 'B, \"west\"', NULL, '1960-06-01', 2),
                             (3, NULL, 50, NULL, 3), (4, 'A', 1e-7, '1970-01-02', 4);";
    const CSV: &str = "ward,age,born,y\nA,30.25,1950-01-01,1\n\"B, \"\"west\"\"\",,1960-06-01,2\n,50,,3\nA,1e-7,1970-01-02,4\n";
    const QUERY: &str = "SELECT ward, age, born, y FROM t ORDER BY id;";

    fn of_csv(dir: &Path) -> Prepared {
        let path = dir.join("t.csv");
        fs::write(&path, CSV).unwrap();
        let source =
            Source::Files { files: vec![path], target: Some("y".to_owned()), kind: Some(TargetKind::Number) };
        prepare(&options(source)).unwrap()
    }

    fn same(found: &Prepared, expected: &Prepared) {
        assert_eq!(found.preprocessing, expected.preprocessing);
        assert_eq!(found.train.features.values(), expected.train.features.values());
        assert_eq!(found.train.targets.values(), expected.train.targets.values());
    }

    #[test]
    fn rows_of_sqlite_are_those_of_the_same_csv_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        Connection::open(&path).unwrap().execute_batch(ROWS).unwrap();
        let path = path.to_str().unwrap();
        let expected = of_csv(dir.path());
        same(&prepare(&options(query(QUERY, path))).unwrap(), &expected);
        same(&prepare(&options(query(QUERY, &format!("sqlite:{path}")))).unwrap(), &expected);
    }

    #[test]
    fn other_databases_are_refused_without_their_passwords() {
        for text in ["mysql://zoe:secret@localhost/x", "host=localhost password=secret dbname=x"] {
            let message = message("SELECT 1", text);
            assert!(
                message.contains("... refuses the query: only SQLite files and URLs postgres://"),
                "{message}"
            );
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn what_sqlite_refuses_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        Connection::open(&path).unwrap().execute_batch(ROWS).unwrap();
        let before = fs::read(&path).unwrap();
        let database = path.to_str().unwrap();
        for (text, part) in [
            ("SELECT x FROM t", "t.db refuses the query: no such column: x"),
            ("SELEC 1", "syntax error"),
            ("DELETE FROM t", "gives no columns"),
            ("DELETE FROM t RETURNING ward, age, born, y", "readonly database"),
            ("SELECT ward, age, born, x'00' AS y FROM t", "row 1, column `y`: the value is a blob"),
            ("SELECT ward, age, born, y FROM t WHERE id > 9", "has a header and no data"),
            (
                "SELECT ward, age, born, 'many' AS y FROM t",
                "row 1, column `y`: the target `many` is not a number",
            ),
            ("SELECT ward, age, born, y, y FROM t", "the column name `y` occurs twice"),
        ] {
            let message = message(text, database);
            assert!(message.contains("t.db") && message.contains(part), "{message}");
        }
        assert_eq!(fs::read(&path).unwrap(), before);
        assert!(message(QUERY, "no/such.db").contains("no/such.db does not exist"));
        fs::write(&path, "no database, but a text that is long enough to be looked at").unwrap();
        assert!(message(QUERY, database).contains("file is not a database"));
    }

    #[test]
    fn many_rows_go_through_a_file_that_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let count = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199999) \
                     SELECT CASE i % 2 WHEN 0 THEN 'A' ELSE 'B' END AS ward, i / 7.0 AS age, '2000-01-01' AS born, i AS y FROM n";
        Connection::open(&path).unwrap().execute_batch(ROWS).unwrap();
        let prepared = prepare(&options(query(count, path.to_str().unwrap()))).unwrap();
        assert_eq!(prepared.train.features.rows(), 200_000);
        assert!((0..200_000).all(|row| {
            let found = prepared.train.features.row(row);
            found[row % 2] > 0.5 && (found[2] - row as f64 / 7.0).abs() < 1e-9
        }));
    }

    #[test]
    fn postgres_on_other_machines_is_refused_and_no_password_is_told() {
        for (database, part) in [
            ("postgres://zoe:hidden@db.example.org/x", "it is on another machine"),
            ("postgres://zoe:hidden@localhost/x?bad=1", "its URL cannot be read"),
            ("postgres://zoe:hidden@localhost:1/x?connect_timeout=5", "refused"),
        ] {
            let message = message(QUERY, database);
            assert!(
                message.contains(part) && !message.contains("hidden") && !message.contains("zoe"),
                "{message}"
            );
        }
    }

    /// A PostgreSQL server of this machine's programs, in a directory and on a Unix socket in it; none if there are no such programs.
    struct Server {
        dir: tempfile::TempDir,
    }

    impl Server {
        fn start() -> Option<Self> {
            let programs =
                fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
            let programs = programs.max()?;
            let dir = tempfile::tempdir().ok()?;
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).ok()?;
            let data = dir.path().join("data");
            let mut script = String::new();
            let (bin, at) = (programs.display(), dir.path().display());
            writeln!(script, "{bin}/initdb -D {at}/data -U zoe --auth=trust --no-sync >/dev/null &&").ok()?;
            writeln!(script, "{bin}/pg_ctl -D {at}/data -l {at}/log -w -t 60 -o \"-k {at} -c listen_addresses=''\" start >/dev/null")
                .ok()?;
            // The server does not run as root.
            let mut command = if rustix_is_root() { runuser(&script) } else { shell(&script) };
            let started = command.status().is_ok_and(|status| status.success());
            assert!(
                started || !data.exists(),
                "{}",
                fs::read_to_string(dir.path().join("log")).unwrap_or_default()
            );
            started.then_some(Self { dir })
        }

        fn url(&self) -> String {
            format!("postgres://zoe@/postgres?host={}", self.dir.path().display())
        }
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn runuser(script: &str) -> Command {
        let mut command = Command::new("runuser");
        command.args(["-u", "nobody", "--", "sh", "-c", script]);
        command
    }

    fn rustix_is_root() -> bool {
        use std::os::unix::fs::MetadataExt;
        fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let process = fs::read_to_string(self.dir.path().join("data/postmaster.pid")).unwrap_or_default();
            if let Some(id) = process.lines().next() {
                drop(Command::new("kill").args(["-INT", id]).status());
                let gone = PathBuf::from(format!("/proc/{id}"));
                let until = std::time::Instant::now() + std::time::Duration::from_mins(1);
                while gone.exists() && std::time::Instant::now() < until {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            }
        }
    }

    #[test]
    fn rows_of_postgres_are_those_of_the_same_csv_file() {
        let Some(server) = Server::start() else { return };
        let url = server.url();
        let mut client = ::postgres::Client::connect(&url, ::postgres::NoTls).unwrap();
        client.batch_execute(ROWS).unwrap();
        client.batch_execute("ALTER DATABASE postgres SET datestyle = 'German'").unwrap();
        let dir = tempfile::tempdir().unwrap();
        same(&prepare(&options(query(QUERY, &url))).unwrap(), &of_csv(dir.path()));
        for (text, part) in [
            ("SELECT x FROM t", "refuses the query: column \"x\" does not exist"),
            ("SELEC 1", "syntax error"),
            ("DELETE FROM t RETURNING *", "read-only"),
            ("SELECT ward, age, born, 1 / (y - 3) AS y FROM t", "division by zero"),
            (
                "SELECT ward, age, born, ward AS y FROM t ORDER BY id",
                "row 1, column `y`: the target `A` is not a number",
            ),
            ("SELECT 1) TO STDOUT; DROP TABLE t; --", "syntax error"),
        ] {
            let message = message(text, &url);
            assert!(message.contains(part) && !message.contains("zoe"), "{message}");
        }
        let rows = client.query_one("SELECT count(*) FROM t", &[]).unwrap();
        assert_eq!(rows.get::<_, i64>(0), 4);
    }
}
