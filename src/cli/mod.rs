//! The command line: arguments become calls, answers become text and exit statuses.
//!
//! Owns what the operator types and reads, and nothing else: the engine is reached through
//! [`client`](crate::client) as any other client would, and `engine.rs` alone starts one in this
//! process. One verb, one file below `verbs/`.

mod args;
mod console;
mod engine;
mod exit;
mod findings;
mod follow;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod gone;
mod hosts;
mod loading;
mod log_files;
mod log_text;
mod place;
mod progress;
mod receivers;
mod several;
mod stream;
mod table;
mod ui;
mod verbs;
mod words;

#[cfg(test)]
mod samples;

use std::process::ExitCode;

pub use args::Cli;
use args::Command;
use exit::Failure;
use place::Place;
use ui::Ui;

use crate::demo::component;

/// What every verb gets.
struct Context {
    ui: Ui,
    place: Place,
}

/// Does what the arguments say.
pub fn run(cli: Cli) -> ExitCode {
    let ui = Ui::new(&cli.options);
    let lists = cli.lists.then(cli.command.lists());
    let place = match Place::new(&cli.options, lists) {
        Ok(place) => place,
        Err(failure) => return refuse(&ui, &failure),
    };
    let context = Context { ui, place };
    if let Err(failure) = perform(&context, cli.command) {
        return refuse(&context.ui, &failure);
    }
    match context.ui.output_error() {
        Some(error) => {
            let message = format!("cannot write the answer to standard output: {error}");
            refuse(&context.ui, &Failure::failed(message))
        }
        None => ExitCode::SUCCESS,
    }
}

fn refuse(ui: &Ui, failure: &Failure) -> ExitCode {
    if !failure.message.is_empty() {
        ui.error(failure);
    }
    ExitCode::from(failure.exit as u8)
}

fn perform(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        // These have a runtime of their own, or need none.
        Command::Console(with) => verbs::console::perform(context, &with.own),
        Command::Run(with) => verbs::run::perform(context, &with.own),
        Command::Check(with) => verbs::check::perform(context, &with.own),
        Command::Doctor(with) => verbs::doctor::perform(context, &with.own),
        Command::Demo(with) => verbs::demo::perform(context, &with.own),
        Command::Completions(arguments) => {
            verbs::completions::perform(context, &arguments);
            Ok(())
        }
        Command::Man => verbs::man::perform(context),
        Command::Replay(arguments) => verbs::replay::perform(context, &arguments),
        Command::DialStdio => verbs::dial_stdio::perform(context),
        Command::DemoComponent(arguments) => component::run(&arguments).map_err(Failure::failed),
        Command::Start(with) => block_on(verbs::start::perform(context, &with.own.ids)),
        Command::Stop(with) => block_on(verbs::stop::perform(context, &with.own.ids)),
        Command::Restart(with) => block_on(verbs::restart::perform(context, &with.own.ids)),
        Command::Kill(with) => block_on(verbs::kill::perform(context, &with.own.ids)),
        Command::Reload(with) => block_on(verbs::reload::perform(context, &with.own)),
        Command::Status(with) => block_on(verbs::status::perform(context, &with.own)),
        Command::Events(with) => block_on(verbs::events::perform(context, &with.own)),
        Command::Logs(with) => block_on(verbs::logs::perform(context, &with.own)),
        Command::Upgrade(with) => block_on(verbs::upgrade::perform(context, &with.own)),
        Command::TakeoverCheck(with) => verbs::takeover_check::perform(context, &with.own),
        Command::Reopen(_) => block_on(verbs::reopen::perform(context)),
        Command::Explain(with) => block_on(verbs::explain::perform(context, &with.own)),
        Command::Hold(with) => block_on(verbs::hold::perform(context, &with.own)),
        Command::Release(with) => block_on(verbs::hold::release(context, &with.own.ids)),
    }
}

fn block_on<T>(verb: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the client: {error}")))?
        .block_on(verb)
}
