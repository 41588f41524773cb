//! Registries for tests, as text: what a test says stands in the file as it says it.

use std::fmt::Write as _;

/// A registry file.
pub struct Registry {
    config: String,
    servers: Vec<Server>,
}

/// One `<server>`.
#[derive(Clone)]
pub struct Server {
    id: String,
    command: Vec<String>,
    extra: String,
}

impl Registry {
    /// These servers, and no TCP port.
    pub fn of(servers: impl IntoIterator<Item = Server>) -> Self {
        Self { config: String::new(), servers: servers.into_iter().collect() }
    }

    /// Elements for `<config>`; a `<tcpport>` among them takes the place of our 0.
    pub fn config(mut self, xml: &str) -> Self {
        self.config.push_str(xml);
        self
    }

    pub fn xml(&self) -> String {
        let mut xml =
            String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<supervisor>\n  <config>");
        if !self.config.contains("<tcpport>") {
            xml.push_str("<tcpport>0</tcpport>");
        }
        let _infallible = write!(xml, "{}</config>\n  <servers>\n", self.config);
        for server in &self.servers {
            xml.push_str(&server.xml());
        }
        xml.push_str("  </servers>\n</supervisor>\n");
        xml
    }
}

impl Server {
    /// A server that executes this command.
    pub fn command(id: &str, command: &[&str]) -> Self {
        assert!(!command.is_empty(), "a command has an executable");
        let command = command.iter().map(|&word| word.to_owned()).collect();
        Self { id: id.to_owned(), command, extra: String::new() }
    }

    /// The smallest server: it sleeps until a signal ends it.
    pub fn sleep(id: &str) -> Self {
        Self::command(id, &["/bin/sleep", "infinity"])
    }

    /// A server that ignores TERM: only a kill ends it.
    pub fn stubborn(id: &str) -> Self {
        // The disposition is inherited through exec, so that one process is all there is.
        Self::shell(id, "trap '' TERM; echo deaf; exec sleep infinity")
    }

    /// A server that is a shell script, run in the installation folder. No `${...}` in it:
    /// the registry would replace that.
    pub fn shell(id: &str, script: &str) -> Self {
        assert!(!script.contains("${"), "the registry would replace ${{...}} in the script");
        Self::command(id, &["/bin/sh", "-c", script])
    }

    /// A server without an executable of its own: profiles give it.
    pub fn bare(id: &str) -> Self {
        Self { id: id.to_owned(), command: Vec::new(), extra: String::new() }
    }

    /// Adds elements of the server.
    pub fn with(mut self, xml: &str) -> Self {
        self.extra.push_str(xml);
        self
    }

    pub fn priority(self, priority: u32) -> Self {
        self.with(&format!("<startPriority>{priority}</startPriority>"))
    }

    pub fn start_delay(self, seconds: f64) -> Self {
        self.with(&format!("<startDelay>{seconds}</startDelay>"))
    }

    pub fn stop_timeout(self, seconds: f64) -> Self {
        self.with(&format!("<stopTimeout>{seconds}</stopTimeout>"))
    }

    pub fn depends_on(self, id: &str) -> Self {
        self.with(&format!("<dependsOn ref=\"{id}\"/>"))
    }

    fn xml(&self) -> String {
        let mut xml = format!("    <server id=\"{}\">", self.id);
        if let Some((executable, arguments)) = self.command.split_first() {
            let _infallible = write!(xml, "<executable>{}</executable>", escaped(executable));
            if !arguments.is_empty() {
                xml.push_str("<arguments>");
                for argument in arguments {
                    let _infallible = write!(xml, "<argument>{}</argument>", escaped(argument));
                }
                xml.push_str("</arguments>");
            }
        }
        let _infallible = writeln!(xml, "{}</server>", self.extra);
        xml
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
