//! The arguments, and nothing else: what each verb does stands in its own file.

use std::path::PathBuf;

use clap::{
    ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
    parser::ValueSource,
};

use super::verbs::{
    check, completions, console, demo, doctor, events, explain, hold, logs, reload, replay, run,
    status, takeover_check, upgrade,
};
use crate::demo::component;

/// Starts, watches, restarts and stops the components of a `SupervisorRegistry.xml`.
///
/// Without an id a verb means the Supervisor and everything under it, with ids it means those
/// components.
#[derive(Debug, Parser)]
#[command(name = "s7supervisor", version, propagate_version = true, subcommand_required = true)]
#[command(arg_required_else_help = true, max_term_width = 100, after_help = EXIT_STATUS)]
pub struct Cli {
    #[command(flatten)]
    pub options: Options,
    #[command(flatten)]
    pub lists: Lists,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUS: &str = "\
Exit status: 0 done; 1 the operation failed; 2 usage or an unknown id; 3 status: the Supervisor
is not running; 69 other commands: not running or not reachable; 77 not permitted; 78 the registry
is wrong. `stop` where nothing runs is 0.";

/// Options that stand before or after the verb.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The folder that relative paths of the registry are relative to [default: the folder above
    /// the registry's conf/, else /usr/local/scene7/ImageServing]
    #[arg(
        short,
        long,
        value_name = "DIR",
        env = "S7_INSTALL_FOLDER",
        global = true,
        display_order = 101
    )]
    pub install_folder: Option<PathBuf>,
    /// The registry [default: INSTALL/conf/SupervisorRegistry.xml]
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "S7_REGISTRY",
        global = true,
        display_order = 102
    )]
    pub registry: Option<PathBuf>,
    /// When to use colours; `NO_COLOR` switches them off too
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        global = true,
        display_order = 105
    )]
    pub color: ColorWhen,
    /// Only answers and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 106)]
    pub quiet: bool,
    /// Tell more of what is done
    #[arg(short, long, global = true, display_order = 106)]
    pub verbose: bool,
    /// The options that name an installation, where they were typed and not taken from the
    /// environment.
    #[arg(skip)]
    pub typed: Vec<String>,
}

/// Repeatable options. They belong to each level by themselves, because clap lets a repeated
/// *global* option after the verb replace the ones before it, and a `--set` must not get lost.
#[derive(Debug, Clone, Default, Args)]
pub struct Lists {
    /// A setting of the registry, as in `--set SV::PsHeapSize=1g`; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting, display_order = 103)]
    pub set: Vec<(String, String)>,
    /// The Supervisor to talk to: unix:PATH, http://HOST:PORT or ssh://[USER@]HOST[:PORT];
    /// repeatable for `status` [default: this registry's]
    #[arg(long, value_name = "TARGET", display_order = 104)]
    pub host: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    #[default]
    Auto,
    Always,
    Never,
}

/// A verb's own arguments, with the repeatable options.
#[derive(Debug, Args)]
pub struct With<T: Args> {
    #[command(flatten)]
    pub lists: Lists,
    #[command(flatten)]
    pub own: T,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The operations console: on the Supervisor that runs for this registry, else with one in this
    /// process
    Console(With<console::Arguments>),
    /// The Supervisor in the foreground, headless (systemd, containers)
    Run(With<run::Arguments>),
    /// The Supervisor in the background with every component; with ids: start those
    Start(With<OptionalIds>),
    /// Stop everything and the Supervisor; with ids: stop those
    Stop(With<OptionalIds>),
    /// Restart everything and the Supervisor; with ids: restart those
    Restart(With<OptionalIds>),
    /// End the whole process tree of components at once
    Kill(With<Ids>),
    /// Read the registry again; restart only what changed
    Reload(With<reload::Arguments>),
    /// What runs, since when, with how much memory
    Status(With<status::Arguments>),
    /// What happened, to whom, and who asked for it
    Events(With<events::Arguments>),
    /// Why a component is in its state
    Explain(With<explain::Arguments>),
    /// No start and no restart of components, by hand or by itself, until released or --until
    Hold(With<hold::Arguments>),
    /// End the hold of components; what it held back is carried out
    Release(With<Ids>),
    /// What components wrote: searched, merged, and as it comes
    Logs(With<logs::Arguments>),
    /// Put another version in the Supervisor's place: same process, no component notices
    Upgrade(With<upgrade::Arguments>),
    /// Open the log files anew (for outside rotators)
    Reopen(With<Nothing>),
    /// Verify the registry and print the plan: order and commands
    Check(With<check::Arguments>),
    /// Check the installation and explain what is found; changes nothing
    Doctor(With<doctor::Arguments>),
    /// The console on a built-in registry of three small components in a temporary folder
    Demo(With<demo::Arguments>),
    /// Completions for a shell
    Completions(completions::Arguments),
    /// The manual page (roff)
    Man,
    /// Whether this version can take over from the one that asks
    #[command(hide = true)]
    TakeoverCheck(With<takeover_check::Arguments>),
    /// A record of `run --record` once more: does it come to the same decisions?
    #[command(hide = true)]
    Replay(replay::Arguments),
    /// Joins standard input and output to the control socket (ssh:// runs it)
    #[command(hide = true)]
    DialStdio,
    /// One of the demo's components
    #[command(hide = true)]
    DemoComponent(component::Arguments),
}

#[derive(Debug, Clone, Args)]
pub struct OptionalIds {
    /// Components
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
}

/// For verbs that take none.
#[derive(Debug, Clone, Args)]
pub struct Nothing {}

#[derive(Debug, Clone, Args)]
pub struct Ids {
    /// Components
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}

impl Cli {
    /// The arguments of this process. Where they are wrong, or ask for help, it ends here.
    pub fn of_process() -> Self {
        let matches = Self::command().get_matches();
        Self::of(&matches).unwrap_or_else(|error| error.exit())
    }

    fn of(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut cli = Self::from_arg_matches(matches)?;
        let options = &cli.options;
        let paths = [
            ("-i", "install_folder", &options.install_folder),
            ("-r", "registry", &options.registry),
        ];
        let typed = paths.into_iter().filter_map(|(option, name, path)| {
            let typed = matches.value_source(name) == Some(ValueSource::CommandLine);
            let path = path.as_ref().filter(|_| typed)?;
            Some([option.to_owned(), path.to_string_lossy().into_owned()])
        });
        cli.options.typed = typed.flatten().collect();
        Ok(cli)
    }
}

impl Command {
    /// The repeatable options that stand after the verb.
    pub fn lists(&self) -> Lists {
        match self {
            Self::Console(with) => with.lists.clone(),
            Self::Run(with) => with.lists.clone(),
            Self::Start(with) | Self::Stop(with) | Self::Restart(with) => with.lists.clone(),
            Self::Kill(with) | Self::Release(with) => with.lists.clone(),
            Self::Hold(with) => with.lists.clone(),
            Self::Reload(with) => with.lists.clone(),
            Self::Status(with) => with.lists.clone(),
            Self::Events(with) => with.lists.clone(),
            Self::Explain(with) => with.lists.clone(),
            Self::Logs(with) => with.lists.clone(),
            Self::Upgrade(with) => with.lists.clone(),
            Self::TakeoverCheck(with) => with.lists.clone(),
            Self::Reopen(with) => with.lists.clone(),
            Self::Check(with) => with.lists.clone(),
            Self::Doctor(with) => with.lists.clone(),
            Self::Demo(with) => with.lists.clone(),
            Self::Completions(_)
            | Self::Man
            | Self::Replay(_)
            | Self::DialStdio
            | Self::DemoComponent(_) => Lists::default(),
        }
    }
}

impl Lists {
    /// These, then the later ones, which win where one name is set twice.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        self.set.extend(later.set);
        self.host.extend(later.host);
        self
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if name.contains("::") => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, as in SV::PsHeapSize=1g".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split(' ')).expect(line)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_verb() {
        for line in ["s7 -i /x -q status", "s7 status -i /x -q", "s7 -q status -i /x"] {
            let cli = parse(line);
            assert_eq!(cli.options.install_folder, Some("/x".into()), "{line}");
            assert!(cli.options.quiet, "{line}");
        }
    }

    #[test]
    fn what_was_typed_to_name_an_installation_is_known_as_such() {
        for line in ["s7 -i /x --registry r.xml status", "s7 status -i /x -r r.xml"] {
            let matches = Cli::command().try_get_matches_from(line.split(' ')).expect(line);
            let typed = Cli::of(&matches).expect(line).options.typed;
            assert_eq!(typed, ["-i", "/x", "-r", "r.xml"], "{line}");
        }
        // What the environment says is a default, not a word of the operator.
        let given = Cli::command().mut_arg("install_folder", |arg| arg.env("PATH"));
        let matches = given.try_get_matches_from(["s7", "status"]).expect("sound");
        let cli = Cli::of(&matches).expect("sound");
        assert!(cli.options.install_folder.is_some());
        assert_eq!(cli.options.typed, [""; 0]);
    }

    #[test]
    fn no_setting_is_lost_between_the_two_sides_of_the_verb() {
        let cli = parse("s7 --set SV::a=1 check --set SV::b=2=3");
        let lists = cli.lists.then(cli.command.lists());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(lists.set, [pair("SV::a", "1"), pair("SV::b", "2=3")]);
    }
}
