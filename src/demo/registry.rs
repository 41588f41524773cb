//! The demo's installation: a temporary folder with a registry in it.

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

/// An installation that exists as long as this value.
#[derive(Debug)]
pub struct Demo {
    folder: PathBuf,
    registry: PathBuf,
    components: Vec<DemoComponent>,
}

/// One component of the demo; displays as a line for people.
#[derive(Debug, Clone)]
pub struct DemoComponent {
    pub id: &'static str,
    pub description: &'static str,
    pub port: u16,
    priority: u8,
    after: &'static [&'static str],
    /// Memory that it holds from its start.
    megabytes: u16,
}

impl fmt::Display for DemoComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, description, port, .. } = self;
        write!(f, "{id:<4} {description:<16} http://127.0.0.1:{port}/")
    }
}

impl Demo {
    /// Makes the folder, finds free ports, writes the registry.
    pub fn create() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("s7supervisor-demo-").tempdir()?;
        let [is, svg, ps] = free_ports()?;
        let component = |id, description, port, priority, after, megabytes| DemoComponent {
            id,
            description,
            port,
            priority,
            after,
            megabytes,
        };
        let components = vec![
            component("is", "Image Server", is, 1, &[], 24),
            component("svg", "SVG renderer", svg, 1, &[], 12),
            component("ps", "Platform Server", ps, 2, &["is"], 40),
        ];
        let registry = folder.path().join("conf/SupervisorRegistry.xml");
        for name in ["conf", "logs"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let executable = std::env::current_exe()?;
        let executable = executable.to_str().ok_or_else(|| {
            io::Error::other(format!("the path {} is no text", executable.display()))
        })?;
        fs::write(&registry, registry_text(executable, &components))?;
        // All of it is there: from here on it is ours to remove.
        Ok(Self { folder: folder.keep(), registry, components })
    }

    /// Goes on with the folder that an earlier program of this process has made.
    pub fn resume(folder: PathBuf) -> Self {
        let registry = folder.join("conf/SupervisorRegistry.xml");
        Self { folder, registry, components: Vec::new() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn registry_file(&self) -> &Path {
        &self.registry
    }

    pub fn components(&self) -> &[DemoComponent] {
        &self.components
    }

    /// Removes the folder and tells when that fails, which a drop could not.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.folder)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _removed_before = fs::remove_dir_all(&self.folder);
    }
}

fn registry_text(executable: &str, components: &[DemoComponent]) -> String {
    let executable = escaped(executable);
    let servers: String =
        components.iter().map(|component| server(&executable, component)).collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- Made by `s7supervisor demo`; it goes when the demo ends. -->
<supervisor>
  <config>
    <tcpport>0</tcpport>
    <temp>temp</temp>
    <tracelevel>2</tracelevel>
  </config>
  <servers>
{servers}  </servers>
</supervisor>
"#
    )
}

fn server(executable: &str, component: &DemoComponent) -> String {
    let DemoComponent { id, description, port, priority, after, megabytes } = component;
    let lines: Vec<String> =
        after.iter().map(|id| format!("      <dependsOn ref=\"{id}\"/>\n")).collect();
    let after = lines.concat();
    format!(
        r#"    <server id="{id}">
      <description>{description}</description>
      <executable>{executable}</executable>
      <arguments>
        <argument>demo-component</argument>
        <argument>--name</argument><argument>{id}</argument>
        <argument>--port</argument><argument>{port}</argument>
        <argument>--memory</argument><argument>{megabytes}</argument>
      </arguments>
      <startPriority>{priority}</startPriority>
      <stopTimeout>5</stopTimeout>
{after}      <restart policy="always" delay="0.5" maxDelay="10" resetAfter="10" maxRestarts="20" window="120"/>
      <ready interval="0.1" timeout="1" failures="100"><http url="http://127.0.0.1:{port}/ready"/></ready>
      <health interval="2" timeout="1" failures="3"><http url="http://127.0.0.1:{port}/health"/></health>
    </server>
"#
    )
}

/// Text for an element: `$${` is how the registry writes `${` as it is.
fn escaped(text: &str) -> String {
    text.replace("${", "$${").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Three ports that nobody listens on, below the range that the system hands out by itself:
/// while a component restarts, no passing connection must take its port.
fn free_ports() -> io::Result<[u16; 3]> {
    let mut held = Vec::new();
    for _attempt in 0..1000 {
        let port = fastrand::u16(20_000..32_000);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
            if let [(one, _), (two, _), (three, _)] = held.as_slice() {
                return Ok([*one, *two, *three]);
            }
        }
    }
    Err(io::Error::other("found no three free ports between 20000 and 32000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_leaves_nothing_behind() {
        let demo = Demo::create().expect("a temporary folder can be made");
        let folder = demo.folder().to_owned();
        assert!(demo.registry_file().is_file());
        let mut ports: Vec<u16> = demo.components().iter().map(|it| it.port).collect();
        ports.dedup();
        assert_eq!(ports.len(), 3);
        demo.remove().expect("the folder can be removed");
        assert!(!folder.exists());
    }

    #[test]
    fn a_path_of_any_kind_can_stand_in_the_registry() {
        let demo = Demo::create().expect("a temporary folder can be made");
        let text = registry_text("/odd/<&>/${HOME}", demo.components());
        let tree = roxmltree::Document::parse(&text).expect("it is well-formed");
        let executable = tree.descendants().find(|node| node.has_tag_name("executable"));
        assert_eq!(executable.and_then(|node| node.text()), Some("/odd/<&>/$${HOME}"));
    }
}
