//! `completions`: for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::{Cli, Context};

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn perform(context: &Context, arguments: &Arguments) {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "s7supervisor", &mut script);
    context.ui.print(&String::from_utf8_lossy(&script));
}
