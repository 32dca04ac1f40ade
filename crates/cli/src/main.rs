//! The program `shamisen`.

use std::process::ExitCode;

fn main() -> ExitCode {
    shamisen_cli::main()
}
