//! The binary: everything happens in the library.

use std::process::ExitCode;

use s7supervisor::cli;

fn main() -> ExitCode {
    cli::run(cli::Cli::of_process())
}
