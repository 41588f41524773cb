//! What the caller of the console decides, and what its environment suggests.

use std::fs::File;

use super::views::Theme;

/// What the caller decides.
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a command line")]
#[derive(Debug)]
pub struct ConsoleOptions {
    /// The engine lives in this process: quitting asks what becomes of it.
    pub embedded: bool,
    pub read_only: bool,
    pub ascii: bool,
    pub theme: Theme,
    /// The text of the operator's key file.
    pub keys: Option<String>,
    /// Shown where the registry is empty.
    pub registry: String,
    /// The hints for who is here for the first time.
    pub first_run: bool,
    /// Where standard error goes while the console is up.
    pub stderr: Option<File>,
}

impl ConsoleOptions {
    /// As the environment wants it: `NO_COLOR`, `TERM`, the locale.
    pub fn from_environment() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let theme = if set("NO_COLOR") { Theme::Mono } else { Theme::Dark };
        Self {
            embedded: false,
            read_only: false,
            ascii: is_ascii(|name| std::env::var(name).ok()),
            theme,
            keys: None,
            registry: String::new(),
            first_run: false,
            stderr: None,
        }
    }
}

/// Whether only ASCII is to be shown: a Linux virtual terminal, or a locale that is not UTF-8.
pub fn is_ascii(variable: impl Fn(&str) -> Option<String>) -> bool {
    if variable("TERM").as_deref() == Some("linux") {
        return true;
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()));
    let locale = locale.unwrap_or_default().to_lowercase();
    !(locale.contains("utf-8") || locale.contains("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_is_chosen_where_the_terminal_shows_nothing_else() {
        let with = |pairs: &'static [(&str, &str)]| {
            is_ascii(move |name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(!with(&[("TERM", "xterm-256color"), ("LANG", "de_DE.UTF-8")]));
        assert!(!with(&[("LC_ALL", "C.utf8"), ("LANG", "C")]));
        assert!(with(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
        assert!(with(&[("TERM", "linux"), ("LANG", "de_DE.UTF-8")]));
        assert!(with(&[]));
    }
}
