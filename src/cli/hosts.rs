//! Clients of Supervisors elsewhere: how ssh is run, and what they say of themselves.

use super::exit::{Exit, Failure};
use crate::client::{Client, Endpoint, SshOptions};

/// How ssh is run: `S7_SSH` and `S7_REMOTE_PROGRAM`. What was typed here to name an installation
/// names the one there; what the environment says here is not about that machine.
pub fn ssh_options(typed: &[String]) -> Result<SshOptions, Failure> {
    let program = |name: &str, otherwise: Vec<String>| match std::env::var(name) {
        Ok(text) if !text.trim().is_empty() => SshOptions::program_of(&text).ok_or_else(|| {
            let message = format!("cannot use {name}: a quote is not closed in: {text}");
            Failure::new(Exit::Usage, message)
        }),
        _ => Ok(otherwise),
    };
    let usual = SshOptions::default();
    Ok(SshOptions {
        program: program("S7_SSH", usual.program)?,
        remote_program: program("S7_REMOTE_PROGRAM", usual.remote_program)?,
        remote_arguments: typed.to_vec(),
    })
}

/// A client that passes on the way over ssh, if it came that way.
pub fn client(endpoint: Endpoint, name: &str) -> Client {
    let hops = std::env::var("SSH_CONNECTION").ok();
    let hops =
        if matches!(endpoint, Endpoint::Ssh(_)) { Some(here(hops.as_deref())) } else { hops };
    let client = Client::new(endpoint, name);
    let client = match hops {
        Some(hops) => client.over_ssh(hops),
        None => client,
    };
    // Where there is no room for it, each connection takes a login of its own.
    client.clone().with_one_login().unwrap_or(client)
}

/// Who sits here, for the record of another machine: `anna@laptop-7`, and where from when this is
/// a login over ssh itself.
fn here(connection: Option<&str>) -> String {
    let named = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(named);
    #[cfg(unix)]
    let user = user.or_else(|| Some(format!("uid {}", rustix::process::getuid().as_raw())));
    #[cfg(unix)]
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let machine = std::env::var("COMPUTERNAME").unwrap_or_default();
    let mut here = format!("{}@{machine}", user.unwrap_or_default());
    if let Some(from) = connection.and_then(|text| text.split(' ').next()) {
        here = format!("{here} from {from}");
    }
    // It stands in a header.
    here.chars().filter(|c| matches!(c, ' '..='~')).collect()
}
