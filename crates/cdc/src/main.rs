//! The `cdc` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    cdc::cli::main()
}
