//! How the screen is to be: the options that every verb with a console has.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use crate::{
    cli::{
        exit::{Exit, Failure},
        ui::Ui,
    },
    console::{ConsoleOptions, views::Theme},
};

#[derive(Debug, Clone, Args)]
pub struct Screen {
    /// Nothing can be changed from this console
    #[arg(long)]
    read_only: bool,
    /// A line for each change instead of a screen, for screen readers and pipes; chosen by itself
    /// where there is no terminal
    #[arg(long)]
    plain: bool,
    /// Nothing but ASCII on the screen
    #[arg(long)]
    ascii: bool,
    /// Colours that suit the terminal's background [default: dark; mono where `NO_COLOR` is set]
    #[arg(long, value_name = "THEME", value_enum)]
    theme: Option<ThemeName>,
    /// Your own keys [default: s7supervisor/keys.toml in `$XDG_CONFIG_HOME`, if it is there]
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// With the Supervisor in this process: what becomes of it when the terminal goes away
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    pub on_hangup: OnHangup,
    /// The front waits at this descriptor
    #[arg(long, value_name = "FD", hide = true)]
    pub front: Option<i32>,
    /// Another version was in this process before: the descriptor of what it left
    #[arg(long, value_name = "FD", hide = true)]
    pub handover: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ThemeName {
    Dark,
    Light,
    /// Bold, dim and reverse alone
    Mono,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OnHangup {
    /// It goes on without a terminal
    #[default]
    Keep,
    /// It stops everything and ends
    Stop,
}

impl Screen {
    /// Lines instead of a screen.
    pub fn is_plain(&self, ui: &Ui) -> bool {
        self.plain || !ui.out.terminal
    }

    /// What the console is started with. Complains about a key file that was named and cannot be
    /// read, before anything is started.
    pub fn options(&self, ui: &Ui, registry: &Path) -> Result<ConsoleOptions, Failure> {
        let mut options = ConsoleOptions::from_environment();
        options.read_only = self.read_only;
        options.ascii |= self.ascii;
        options.theme = match self.theme {
            Some(ThemeName::Dark) => Theme::Dark,
            Some(ThemeName::Light) => Theme::Light,
            Some(ThemeName::Mono) => Theme::Mono,
            None if !ui.out.colour => Theme::Mono,
            None => options.theme,
        };
        options.keys = self.key_file()?;
        options.registry = registry.display().to_string();
        options.first_run = is_first_run();
        Ok(options)
    }

    fn key_file(&self) -> Result<Option<String>, Failure> {
        let read = |path: &Path| fs::read_to_string(path);
        match &self.keys {
            Some(path) => read(path).map(Some).map_err(|error| {
                let text = format!("cannot read the key file {}: {error}", path.display());
                Failure::new(Exit::Usage, text)
            }),
            // One that is there by custom alone must not keep the console from opening.
            None => Ok(home("XDG_CONFIG_HOME", ".config")
                .and_then(|folder| read(&folder.join("s7supervisor/keys.toml")).ok())),
        }
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only
    }
}

/// True once for each user. Where that cannot be remembered there are no hints: who sees them each
/// time does not need them.
fn is_first_run() -> bool {
    let Some(folder) = home("XDG_STATE_HOME", ".local/state") else { return false };
    let folder = folder.join("s7supervisor");
    fs::create_dir_all(&folder).is_ok() && File::create_new(folder.join("console-seen")).is_ok()
}

/// A folder of the user's, as the XDG base directory specification has it.
fn home(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
}
