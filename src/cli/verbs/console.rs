//! `console`: the screen, on a Supervisor that runs or with one in this process.

use clap::Args;

use crate::cli::{
    Context,
    console::{self, Screen},
    exit::Failure,
};

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    #[command(flatten)]
    screen: Screen,
}

pub fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    console::open(context, &arguments.screen)
}
