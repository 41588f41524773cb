//! The ports that the registry names: whether somebody listens there, and who.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    net::IpAddr,
};

use super::{Finding, Scene, Sheet, proc, trees};
use crate::{
    registry::{Check, Component},
    wire::ComponentState,
};

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listener {
    inode: u64,
    user: u32,
}

pub(super) fn check(scene: &Scene, sheet: &Sheet) {
    let own = scene.registry().and_then(|registry| registry.config.tcp_port);
    let theirs: Vec<(&Component, BTreeSet<u16>)> = scene
        .components()
        .iter()
        .map(|component| (&**component, ports_of(component)))
        .filter(|(_, ports)| !ports.is_empty())
        .collect();
    let named: Vec<(&Component, BTreeMap<u16, String>)> = scene
        .components()
        .iter()
        .map(|component| (&**component, ports_in(&component.arguments)))
        .filter(|(_, ports)| !ports.is_empty())
        .collect();
    if own.is_none() && theirs.is_empty() && named.is_empty() {
        sheet.add(Finding::ok("ports", "the registry names none on this machine"));
        return;
    }
    let listeners = listeners();
    let checked = theirs.iter().flat_map(|(_, ports)| ports.iter().copied());
    let arguments = named.iter().flat_map(|(_, ports)| ports.keys().copied());
    let wanted = own.into_iter().chain(checked).chain(arguments);
    let inodes = wanted.filter_map(|port| Some(listeners.get(&port)?.inode)).collect();
    let holders = holders(&inodes);
    let look = Look { scene, listeners, holders };
    if let Some(port) = own {
        sheet.add(look.at_our_own(port));
    }
    for (component, ports) in &theirs {
        for port in ports {
            sheet.add(look.at(component, *port).of(component.id.as_str()));
        }
    }
    for (component, ports) in &named {
        for (port, argument) in ports {
            let finding = look.at_argument(component, *port, argument);
            if let Some(finding) = finding {
                sheet.add(finding.of(component.id.as_str()));
            }
        }
    }
}

struct Look<'a> {
    scene: &'a Scene,
    listeners: BTreeMap<u16, Listener>,
    /// By inode.
    holders: HashMap<u64, Vec<u32>>,
}

impl Look<'_> {
    fn at_our_own(&self, port: u16) -> Finding {
        let Some(listener) = self.listeners.get(&port) else {
            return match self.scene.status() {
                None => Finding::ok("control_port", format!("{port} is free")),
                Some(_) => Finding::problem("control_port", format!("nobody listens at {port}"))
                    .why("the Supervisor runs, and cannot be reached over TCP")
                    .advice("was <tcpport> changed? It takes a restart of the Supervisor"),
            };
        };
        let pids = self.pids(listener);
        let ours = self.scene.pid();
        if ours.is_some_and(|pid| pids.contains(&pid)) {
            return Finding::ok("control_port", format!("{port}: the Supervisor listens"));
        }
        let seen = format!("{port} is in use by {}", self.who(listener));
        let why = if ours.is_some() {
            "the Supervisor cannot be reached over TCP"
        } else {
            "the Supervisor does not start"
        };
        Finding::problem("control_port", seen).why(why).advice("end it, or name another <tcpport>")
    }

    fn at(&self, component: &Component, port: u16) -> Finding {
        let status = self.scene.component_status(component.id.as_str());
        let lives = status.is_some_and(|status| status.pid.is_some());
        let Some(listener) = self.listeners.get(&port) else {
            let runs = status.is_some_and(|status| status.state == ComponentState::Running);
            return if runs {
                Finding::warning("ports", format!("nobody listens at {port}"))
                    .why("it runs, and its check asks there")
                    .advice(self.scene.command(&format!("logs {}", component.id)))
            } else {
                Finding::ok("ports", format!("{port} is free"))
            };
        };
        let pids = self.pids(listener);
        let of = |pid: &u32| trees::component_of(self.scene, *pid);
        let owner = pids.iter().find_map(of);
        if owner == Some(component.id.as_str()) {
            return Finding::ok("ports", format!("{port}: it listens"));
        }
        let who = self.who(listener);
        if let Some(other) = owner {
            return Finding::problem("ports", format!("{port} is in use by {other}, {who}"))
                .why("two components want the same port: its check may ask the other one")
                .advice("give one of them another port");
        }
        let left = pids.iter().any(|pid| trees::marked(self.scene).iter().any(|of| of.pid == *pid));
        if left {
            return Finding::note("ports", format!("{port}: {who} listens, of an earlier run"))
                .why("it is not supervised now")
                .advice(self.scene.command("start"));
        }
        // Of another user's process nothing else is known.
        if pids.is_empty() && lives && component.user.is_some() {
            return Finding::note("ports", format!("{port}: {who} listens"))
                .why("whose process that is can be seen by root only");
        }
        let finding = Finding::problem("ports", format!("{port} is in use by {who}"))
            .advice("end it, or give the component another port");
        if lives {
            finding.why("that is no process of this component: its check asks a stranger")
        } else {
            finding.why("the component will not be able to listen there when it starts")
        }
    }

    /// A port that an argument names: what for, only the component knows. Said where somebody else
    /// has it.
    fn at_argument(&self, component: &Component, port: u16, argument: &str) -> Option<Finding> {
        let listener = self.listeners.get(&port)?;
        let owners = self.pids(listener).iter();
        let owner = owners.copied().find_map(|pid| trees::component_of(self.scene, pid));
        if owner == Some(component.id.as_str()) {
            return None;
        }
        let who = self.who(listener);
        let seen = match owner {
            Some(other) => format!("{argument}: {other} listens there, {who}"),
            None => format!("{argument}: {who} listens there"),
        };
        Some(
            Finding::note("arguments", seen)
                .why("right if it is to connect there, wrong if it is to listen itself"),
        )
    }

    fn pids(&self, listener: &Listener) -> &[u32] {
        self.holders.get(&listener.inode).map_or(&[], Vec::as_slice)
    }

    fn who(&self, listener: &Listener) -> String {
        match self.pids(listener) {
            [] => {
                let user = listener.user;
                let name = crate::process::user_name(user);
                let name = name.unwrap_or_else(|| format!("uid {user}"));
                format!("a process of {name} (root can see which)")
            }
            [pid, ..] => proc::described(*pid),
        }
    }
}

/// Ports that arguments name, with the words that do: `-Dx.port=9998`, `--port 80`.
fn ports_in(arguments: &[String]) -> BTreeMap<u16, String> {
    let names_port =
        |name: &str| name.starts_with('-') && name.to_ascii_lowercase().ends_with("port");
    let joined = arguments.iter().filter_map(|argument| {
        let (_, value) = argument.split_once('=').filter(|(name, _)| names_port(name))?;
        Some((value.parse().ok()?, argument.clone()))
    });
    let apart = arguments.windows(2).filter_map(|words| {
        let [name, value] = words else { return None };
        let port = value.parse().ok().filter(|_| names_port(name))?;
        Some((port, format!("{name} {value}")))
    });
    joined.chain(apart).filter(|(port, _)| *port != 0).collect()
}

/// Ports of this machine that a component's checks ask.
fn ports_of(component: &Component) -> BTreeSet<u16> {
    let probes = component.ready.iter().chain(&component.health);
    probes.filter_map(|probe| local_port(&probe.check)).collect()
}

fn local_port(check: &Check) -> Option<u16> {
    match check {
        Check::Tcp { host, port } => is_local(host).then_some(*port),
        Check::Http { url, .. } => {
            let url: hyper::Uri = url.parse().ok()?;
            let usual = if url.scheme_str() == Some("https") { 443 } else { 80 };
            is_local(url.host()?).then(|| url.port_u16().unwrap_or(usual))
        }
        Check::Exec { .. } | Check::Log { .. } | Check::Notify => None,
    }
}

fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// Who listens at which port, on the loopback or on every address.
fn listeners() -> BTreeMap<u16, Listener> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    texts.flat_map(|text| text.lines().filter_map(listener_in).collect::<Vec<_>>()).collect()
}

/// Local address in the second field, state in the fourth (0A: listening), user in the eighth,
/// inode in the tenth.
fn listener_in(line: &str) -> Option<(u16, Listener)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (_address, port) = fields.get(1)?.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let listener =
        Listener { user: fields.get(7)?.parse().ok()?, inode: fields.get(9)?.parse().ok()? };
    (fields.get(3) == Some(&"0A")).then_some((port, listener))
}

/// The processes that have these sockets open, as far as we may see.
fn holders(inodes: &BTreeSet<u64>) -> HashMap<u64, Vec<u32>> {
    let mut holders: HashMap<u64, Vec<u32>> = HashMap::new();
    if inodes.is_empty() {
        return holders;
    }
    for pid in proc::pids() {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let sockets: BTreeSet<u64> = descriptors
            .flatten()
            .filter_map(|entry| {
                let target = fs::read_link(entry.path()).ok()?;
                target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
            })
            .collect();
        for inode in sockets.intersection(inodes) {
            holders.entry(*inode).or_default().push(pid);
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_and_its_process_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let found = listeners().remove(&port).expect("it listens");
        let holders = holders(&BTreeSet::from([found.inode]));
        assert_eq!(holders[&found.inode], [std::process::id()]);
        drop(listener);
        assert_eq!(listeners().get(&port), None);
    }

    #[test]
    fn ports_are_found_in_arguments() {
        let words = [
            "-Dcom.x.port=9998",
            "--port",
            "80",
            "-p",
            "81",
            "port=82",
            "--report",
            "x",
            "-port=0",
        ];
        let found = ports_in(&words.map(str::to_owned));
        let expected = [(80, "--port 80".to_owned()), (9998, "-Dcom.x.port=9998".to_owned())];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn only_ports_of_this_machine_are_looked_at() {
        let http = |url: &str| Check::Http {
            url: url.to_owned(),
            status: Vec::new(),
            header: None,
            body: None,
        };
        assert_eq!(local_port(&http("http://localhost:8080/x")), Some(8080));
        assert_eq!(local_port(&http("http://[::1]/")), Some(80));
        assert_eq!(local_port(&http("http://example.com:8080/")), None);
        let tcp = |host: &str| Check::Tcp { host: host.to_owned(), port: 25 };
        assert_eq!(local_port(&tcp("127.0.0.2")), Some(25));
        assert_eq!(local_port(&tcp("10.0.0.1")), None);
    }
}
