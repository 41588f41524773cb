//! Where the installation is, and where its Supervisor answers.
//!
//! A client only needs the runtime folder, so it does not load the registry: [`Place::temp`]
//! reads the head of the file up to `</config>` and takes `<temp>` from it. Whenever that piece
//! could be wrong by itself (a token other than `SV::temp`, a `<setting>` for it, an entity), the
//! registry is loaded in full. Nothing is guessed from what lies in the file system: a socket in
//! `INSTALL/temp` proves nothing when the registry names another folder.

use std::path::{Path, PathBuf};

use quick_xml::{Reader, events::Event};

use super::{
    args::{Lists, Options},
    exit::{Exit, Failure},
    hosts, loading,
};
use crate::client::{Client, Endpoint};

/// Install folder of the original, where nothing else is said.
const DEFAULT_INSTALL_FOLDER: &str = if cfg!(windows) {
    r"C:\Program Files\Scene7\ImageServing"
} else {
    "/usr/local/scene7/ImageServing"
};

/// One installation: a folder, a registry, settings.
#[derive(Debug, Clone)]
pub struct Place {
    /// Absolute.
    pub install_folder: PathBuf,
    /// Absolute.
    pub registry: PathBuf,
    pub settings: Vec<(String, String)>,
    hosts: Vec<String>,
    /// As typed on the command line: for `dial-stdio` on another machine.
    typed: Vec<String>,
}

impl Place {
    pub fn new(options: &Options, lists: Lists) -> Result<Self, Failure> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|error| {
                Failure::new(Exit::Usage, format!("cannot use {}: {error}", path.display()))
            })
        };
        let registry = options.registry.as_deref().map(absolute).transpose()?;
        let install_folder = match (&options.install_folder, &registry) {
            (Some(folder), _) => absolute(folder)?,
            (None, Some(file)) => above_conf(file),
            (None, None) => DEFAULT_INSTALL_FOLDER.into(),
        };
        let registry =
            registry.unwrap_or_else(|| install_folder.join("conf/SupervisorRegistry.xml"));
        let mut typed = options.typed.clone();
        for (name, value) in &lists.set {
            typed.extend(["--set".to_owned(), format!("{name}={value}")]);
        }
        Ok(Self { install_folder, registry, settings: lists.set, hosts: lists.host, typed })
    }

    /// Calls to the Supervisor: that of `--host`, else the one of this registry.
    pub fn client(&self) -> Result<Client, Failure> {
        match self.hosts.as_slice() {
            [] => Ok(hosts::client(Endpoint::Unix(self.socket()), "cli")),
            [host] => Ok(hosts::client(self.endpoint(host)?, "cli")),
            [..] => Err(Failure::new(
                Exit::Usage,
                "cannot talk to several Supervisors at once: give --host once",
            )),
        }
    }

    /// The Supervisors of every `--host`, by name, for a program that calls itself `name`; else the
    /// one of this registry.
    pub fn clients(&self, name: &str) -> Result<Vec<(String, Client)>, Failure> {
        if self.hosts.is_empty() {
            let endpoint = Endpoint::Unix(self.socket());
            return Ok(vec![("this machine".to_owned(), hosts::client(endpoint, name))]);
        }
        let named = |host: &String| Ok((host.clone(), hosts::client(self.endpoint(host)?, name)));
        self.hosts.iter().map(named).collect()
    }

    fn endpoint(&self, host: &str) -> Result<Endpoint, Failure> {
        let endpoint: Endpoint = host
            .parse()
            .map_err(|error| Failure::new(Exit::Usage, format!("cannot use --host: {error}")))?;
        match endpoint {
            Endpoint::Ssh(_) => Ok(endpoint.with_ssh(hosts::ssh_options(&self.typed)?)),
            other => Ok(self.with_token(other)),
        }
    }

    /// The beginning of a command line that names this installation from any folder.
    pub fn command(&self) -> String {
        let mut command = String::from("s7supervisor");
        let named = |path: &Path| path.display().to_string().replace(' ', "\\ ");
        if self.install_folder != Path::new(DEFAULT_INSTALL_FOLDER) {
            command = format!("{command} -i {}", named(&self.install_folder));
        }
        if self.registry != self.install_folder.join("conf/SupervisorRegistry.xml") {
            command = format!("{command} -r {}", named(&self.registry));
        }
        for (name, value) in self.settings.iter().filter(|(name, _)| name == "SV::temp") {
            command = format!("{command} --set {name}={value}");
        }
        command
    }

    /// Another installation, with the same settings; no other Supervisor than its own.
    #[must_use]
    pub fn moved(&self, install_folder: &Path, registry: &Path) -> Self {
        Self {
            install_folder: install_folder.to_owned(),
            registry: registry.to_owned(),
            settings: self.settings.clone(),
            hosts: Vec::new(),
            typed: Vec::new(),
        }
    }

    /// The command works on a Supervisor elsewhere: there is nothing to start or to look at here.
    pub fn is_elsewhere(&self) -> bool {
        !self.hosts.is_empty()
    }

    pub fn socket(&self) -> PathBuf {
        self.temp().join("supervisor.sock")
    }

    /// The runtime folder of this registry. A registry that cannot be read says nothing; then it
    /// is the documented default, `temp` in the install folder.
    pub fn temp(&self) -> PathBuf {
        let bytes = std::fs::read(&self.registry).unwrap_or_default();
        let named = match temp_in_head(&bytes) {
            Head::Default => self.setting_temp().unwrap_or_else(|| "temp".to_owned()),
            Head::Literal(path) => path,
            Head::Unclear => {
                return loading::load(self).ok().map_or_else(
                    || self.install_folder.join("temp"),
                    |loaded| loaded.registry.config.temp,
                );
            }
        };
        self.install_folder.join(named)
    }

    /// What overrides `SV::temp` outside the registry.
    fn setting_temp(&self) -> Option<String> {
        let given = self.settings.iter().rev().find(|(name, _)| name == "SV::temp");
        given.map(|(_, value)| value.clone()).or_else(|| std::env::var("SV__temp").ok())
    }

    /// A TCP endpoint with the token that it asks for: `S7_TOKEN`, else the installation's own.
    fn with_token(&self, endpoint: Endpoint) -> Endpoint {
        if !matches!(endpoint, Endpoint::Tcp { .. }) {
            return endpoint;
        }
        let own = || {
            let temp = self.temp();
            ["control.token", "control-read.token"]
                .iter()
                .find_map(|name| std::fs::read_to_string(temp.join(name)).ok())
        };
        match std::env::var("S7_TOKEN").ok().or_else(own) {
            Some(token) => endpoint.with_token(token.trim()),
            None => endpoint,
        }
    }
}

/// The folder above the registry's `conf/`; where it stands in no such folder, the default.
fn above_conf(registry: &Path) -> PathBuf {
    let conf = registry.parent();
    match conf.and_then(Path::file_name) {
        Some(name) if name == "conf" => conf.and_then(Path::parent).map(Path::to_path_buf),
        _ => None,
    }
    .unwrap_or_else(|| DEFAULT_INSTALL_FOLDER.into())
}

/// What the head of a registry says about the runtime folder.
#[derive(Debug, PartialEq, Eq)]
enum Head {
    /// Nothing, or `SV::temp` without a `<setting>` for it.
    Default,
    /// This path, without any token.
    Literal(String),
    /// The whole registry must be understood to know.
    Unclear,
}

fn temp_in_head(bytes: &[u8]) -> Head {
    let Some(text) = config_temp(bytes) else { return Head::Unclear };
    match text.trim() {
        "" | "SV::temp" => {
            let mentions = memchr::memmem::find_iter(bytes, "SV::temp").count();
            let own = usize::from(!text.is_empty());
            if mentions > own { Head::Unclear } else { Head::Default }
        }
        path if path.contains("::") || path.contains("${") => Head::Unclear,
        path => Head::Literal(path.to_owned()),
    }
}

/// The text of `supervisor/config/temp`, empty where there is none; `None` where the file is more
/// than this little reader understands.
fn config_temp(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader::from_reader(bytes);
    let mut path: Vec<String> = Vec::new();
    let mut temp = String::new();
    loop {
        let inside = |names: &[&str]| path.iter().map(String::as_str).eq(names.iter().copied());
        match reader.read_event().ok()? {
            Event::Start(start) => path.push(start.name().as_ref().to_owned()),
            Event::End(_) if inside(&["supervisor", "config"]) => return Some(temp),
            Event::End(_) => {
                path.pop();
            }
            Event::Text(text) if inside(&["supervisor", "config", "temp"]) => {
                temp.push_str(&text);
            }
            Event::CData(_) | Event::GeneralRef(_) if inside(&["supervisor", "config", "temp"]) => {
                return None;
            }
            Event::DocType(_) => return None,
            // Without <config>, or without a file: everything has its default.
            Event::Eof => return path.is_empty().then_some(temp),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(config: &str, rest: &str) -> Head {
        let text = format!("<supervisor><config>{config}</config>{rest}</supervisor>");
        temp_in_head(text.as_bytes())
    }

    #[test]
    fn the_runtime_folder_is_read_from_the_head() {
        assert_eq!(head("<temp>SV::temp</temp>", "<servers/>"), Head::Default);
        assert_eq!(head("<tcpport>1</tcpport>", ""), Head::Default);
        assert_eq!(head("<temp> /run/s7 </temp>", "<broken"), Head::Literal("/run/s7".into()));
        assert_eq!(head("<!-- <temp>a</temp> --><temp>b</temp>", ""), Head::Literal("b".into()));
        assert_eq!(temp_in_head(b""), Head::Default);
    }

    #[test]
    fn where_the_head_could_mislead_the_whole_registry_is_asked() {
        let setting = "<settings><setting name=\"SV::temp\">elsewhere</setting></settings>";
        assert_eq!(head("<temp>SV::temp</temp>", setting), Head::Unclear);
        assert_eq!(head("", setting), Head::Unclear);
        assert_eq!(head("<temp>${RUN:-run}</temp>", ""), Head::Unclear);
        assert_eq!(head("<temp>XX::run/s7</temp>", ""), Head::Unclear);
        assert_eq!(head("<temp>a&amp;b</temp>", ""), Head::Unclear);
        assert_eq!(temp_in_head(b"<!DOCTYPE x []><supervisor/>"), Head::Unclear);
    }

    #[test]
    fn the_install_folder_stands_above_conf() {
        assert_eq!(above_conf(Path::new("/s7/conf/My.xml")), Path::new("/s7"));
        assert_eq!(above_conf(Path::new("/tmp/My.xml")), Path::new(DEFAULT_INSTALL_FOLDER));
    }
}
