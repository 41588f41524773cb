//! `man`: the manual page, made from the arguments' own definition.

use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::{Cli, Context, exit::Failure};

const FURTHER: &str = r#".SH "EXIT STATUS"
.TP
0
done; also `stop` where nothing runs
.TP
1
the operation failed; the message says which component and why
.TP
2
usage, or an unknown id (with the nearest known one)
.TP
3
\fBstatus\fR: the Supervisor is not running
.TP
69
the Supervisor is not running or not reachable
.TP
77
not permitted
.TP
78
the registry is wrong
.SH FILES
.TP
INSTALL/conf/SupervisorRegistry.xml
the registry
.TP
TEMP/supervisor.sock
the control socket; TEMP is the registry's SV::temp
.TP
TEMP/start.err
what a Supervisor said that ended at its start
.SH ENVIRONMENT
.TP
S7_INSTALL_FOLDER, S7_REGISTRY
as the options of these names
.TP
S7_TOKEN
the token for \-\-host http://HOST:PORT; default: the installation's own
.TP
S7_TRUST
users, with commas between, who may write to the registry and the runtime folder of a Supervisor
that runs as root; everybody: nothing is refused for that
.TP
SV__name
the setting SV::name, where \-\-set does not give it
.TP
NO_COLOR
no colours
"#;

pub fn perform(context: &Context) -> Result<(), Failure> {
    let page = page().map_err(|error| Failure::failed(format!("cannot make the page: {error}")))?;
    context.ui.print(&page);
    Ok(())
}

/// The program's options, then each verb with its own, then what the options do not say.
fn page() -> std::io::Result<String> {
    let mut command = Cli::command().after_help("");
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    page.extend_from_slice(b".SH COMMANDS\n");
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let mut usage = verb.clone();
        let usage = usage.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").replace('-', "\\-");
        page.extend_from_slice(format!(".SS \"{usage}\"\n").as_bytes());
        if let Some(about) = verb.get_about() {
            page.extend_from_slice(format!("{about}.\n").as_bytes());
        }
        let own = |argument: &&clap::Arg| {
            !argument.is_global_set()
                && !argument.is_hide_set()
                && !matches!(argument.get_id().as_str(), "set" | "host" | "help" | "version")
        };
        for argument in verb.get_arguments().filter(own) {
            let name = argument.to_string().replace('-', "\\-");
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            page.extend_from_slice(format!(".TP\n{name}\n{help}\n").as_bytes());
        }
    }
    page.extend_from_slice(FURTHER.as_bytes());
    String::from_utf8(page).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_has_every_verb_and_every_exit_status() {
        let page = super::page().expect("the page is made");
        for verb in [
            "run",
            "start",
            "stop",
            "restart",
            "kill",
            "reload",
            "status",
            "explain",
            "hold",
            "release",
            "check",
            "demo",
            "completions",
            "man",
        ] {
            assert!(page.contains(&format!(".SS \"s7supervisor {verb}")), "{verb}\n{page}");
        }
        assert!(!page.contains("demo\\-component"), "hidden verbs stay hidden");
        assert!(page.contains("EXIT STATUS") && page.contains("\n78\n"));
    }
}
