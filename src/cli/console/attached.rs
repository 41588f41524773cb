//! A console on Supervisors that run elsewhere: in other processes here, or on other machines.

use std::fs::File;

use super::Screen;
use crate::{
    cli::{Context, exit::Failure},
    client::{Client, ClientError},
    console::{self, ConsoleError, link},
};

/// Opens the screen on this thread; the links to the hosts have one of their own.
pub fn run(context: &Context, screen: &Screen) -> Result<(), Failure> {
    let clients = context.place.clients("console")?;
    let mut options = screen.options(&context.ui, &context.place.registry)?;
    // Nothing of ours writes there while the screen is up; a library might.
    options.stderr = File::options().write(true).open("/dev/null").ok();
    let cannot = |error| Failure::failed(format!("cannot start the console: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(cannot)?;
    runtime.block_on(log_in(context, &clients))?;
    let (names, clients) = clients.into_iter().unzip();
    let (feed, remote, requests) = console::feed::channel(names).map_err(cannot)?;
    // It ends when the console has: nobody is left to be told anything.
    let links = std::thread::Builder::new().name("link".to_owned()).spawn(move || {
        runtime.block_on(link::attach(remote, requests, clients));
        runtime.shutdown_background();
    });
    let links = links.map_err(cannot)?;
    let outcome = console::run(feed, options);
    let _never_panics = links.join();
    match outcome {
        Ok(_left) => Ok(()),
        Err(error @ ConsoleError::Panicked(_)) => Err(Failure::failed(error.to_string())
            .and("the Supervisor is not concerned; open the console again")),
        Err(error) => Err(Failure::failed(error.to_string())),
    }
}

/// Before the screen is up ssh may ask, for a password or about a key; afterwards it must not. One
/// host that lets nobody in ends it here, where there is room to say why; of several the others
/// are shown.
async fn log_in(context: &Context, clients: &[(String, Client)]) -> Result<(), Failure> {
    // One after the other: two questions at once would take each other's answers.
    for (_, client) in clients.iter().filter(|(_, client)| client.is_over_ssh()) {
        let answered = client.status().await;
        client.ask_nothing();
        match answered {
            // Whether a Supervisor runs there, and which, is told by the screen.
            Ok(_) | Err(ClientError::NotRunning { .. } | ClientError::Problem(_)) => {}
            Err(error) if clients.len() == 1 => return Err(error.into()),
            Err(error) => context.ui.note(error),
        }
    }
    Ok(())
}
