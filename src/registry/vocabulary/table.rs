//! The table.

/// What an element can hold.
pub(in crate::registry) struct Shape {
    pub name: &'static str,
    pub attributes: &'static [&'static str],
    /// Attributes that cannot be left out.
    pub required: &'static [&'static str],
    pub children: &'static [&'static Shape],
    /// May stand several times in its parent.
    pub many: bool,
    /// Holds text.
    pub text: bool,
}

impl Shape {
    const fn new(name: &'static str) -> Self {
        Self { name, attributes: &[], required: &[], children: &[], many: false, text: false }
    }

    const fn attributes(mut self, attributes: &'static [&'static str]) -> Self {
        self.attributes = attributes;
        self
    }

    const fn required(mut self, required: &'static [&'static str]) -> Self {
        self.attributes = required;
        self.required = required;
        self
    }

    const fn holds(mut self, children: &'static [&'static Shape]) -> Self {
        self.children = children;
        self
    }

    const fn many(mut self) -> Self {
        self.many = true;
        self
    }

    const fn text(mut self) -> Self {
        self.text = true;
        self
    }
}

macro_rules! texts {
    ($($constant:ident = $name:literal;)*) => {
        $(static $constant: Shape = Shape::new($name).text();)*
    };
}

texts! {
    TCPPORT = "tcpport";
    LOG = "log";
    TEMP = "temp";
    TRACELEVEL = "tracelevel";
    TRACESTATSINTERVAL = "tracestatsinterval";
    KEEP_DAYS = "keepDays";
    CONTROL_GROUP = "controlGroup";
    STARTS_PER_MINUTE = "startsPerMinute";
    LEFTOVERS = "leftovers";
    DESCRIPTION = "description";
    EXECUTABLE = "executable";
    WORKING_DIRECTORY = "workingDirectory";
    START_PRIORITY = "startPriority";
    START_DELAY = "startDelay";
    STOP_TIMEOUT = "stopTimeout";
    STOP_SIGNAL = "stopSignal";
    ENABLED = "enabled";
    USER = "user";
    GROUP = "group";
    UMASK = "umask";
    MEMORY = "memory";
    MEMORY_MAX = "memoryMax";
    OPEN_FILES = "openFiles";
    CORE = "core";
    NICE = "nice";
    OOM_SCORE_ADJUST = "oomScoreAdjust";
    CPU = "cpu";
    PROCESSES = "processes";
    MAX_SIZE = "maxSize";
    KEEP_FILES = "keepFiles";
    KEEP_SIZE = "keepSize";
    COMPRESS = "compress";
}

static ARGUMENT: Shape = Shape::new("argument").text().many();
static ARGUMENTS: Shape = Shape::new("arguments").holds(&[&ARGUMENT]);
static OPERANDS: Shape = Shape::new("operands").holds(&[&ARGUMENT]);
static STOP_COMMAND: Shape = Shape::new("stopCommand").holds(&[&ARGUMENT]);
static VARIABLE: Shape = Shape::new("variable").text().required(&["name"]).many();
static ENVIRONMENT: Shape = Shape::new("environment").attributes(&["file"]).holds(&[&VARIABLE]);
static DEPENDS_ON: Shape = Shape::new("dependsOn").required(&["ref"]).many();
static RESTART: Shape = Shape::new("restart").attributes(&[
    "policy",
    "delay",
    "maxDelay",
    "resetAfter",
    "maxRestarts",
    "window",
    "successCodes",
]);

static TCP: Shape =
    Shape { required: &["port"], ..Shape::new("tcp").attributes(&["host", "port"]) };
static HTTP: Shape = Shape {
    required: &["url"],
    ..Shape::new("http").attributes(&["url", "status", "header", "match"])
};
static EXEC: Shape = Shape::new("exec").holds(&[&ARGUMENT]);
static LOG_LINE: Shape = Shape::new("log").required(&["match"]);
static NOTIFY_READY: Shape = Shape::new("notify");
static CHECKS: &[&Shape] = &[&TCP, &HTTP, &EXEC, &LOG_LINE, &NOTIFY_READY];
const PACE: &[&str] = &["interval", "timeout", "failures", "successes", "startPeriod", "jitter"];
static READY: Shape = Shape::new("ready").attributes(PACE).holds(CHECKS);
static HEALTH: Shape = Shape::new("health").attributes(PACE).holds(CHECKS);

static LIMITS: Shape = Shape::new("limits").holds(&[
    &MEMORY,
    &MEMORY_MAX,
    &OPEN_FILES,
    &CORE,
    &NICE,
    &OOM_SCORE_ADJUST,
    &CPU,
    &PROCESSES,
]);
static OUTPUT: Shape = Shape::new("output").attributes(&["timestamps", "forward"]).holds(&[
    &LOG,
    &MAX_SIZE,
    &KEEP_DAYS,
    &KEEP_FILES,
    &KEEP_SIZE,
    &COMPRESS,
]);

static EXTENDS: Shape = Shape::new("extends").required(&["ref"]).many();
static PROFILE_REF: Shape = Shape::new("profile").required(&["ref"]).many();

/// A server's elements: `$first`, then those that it shares with a profile.
macro_rules! launch {
    ($first:expr) => {
        &[
            $first,
            &DESCRIPTION,
            &EXECUTABLE,
            &WORKING_DIRECTORY,
            &ENVIRONMENT,
            &ARGUMENTS,
            &OPERANDS,
            &START_PRIORITY,
            &START_DELAY,
            &STOP_TIMEOUT,
            &STOP_SIGNAL,
            &STOP_COMMAND,
            &DEPENDS_ON,
            &ENABLED,
            &RESTART,
            &READY,
            &HEALTH,
            &LIMITS,
            &USER,
            &GROUP,
            &UMASK,
            &OUTPUT,
        ]
    };
}

static PROFILE: Shape = Shape::new("profile").required(&["id"]).holds(launch!(&EXTENDS)).many();
static SERVER: Shape = Shape::new("server").required(&["id"]).holds(launch!(&PROFILE_REF)).many();

static WEBHOOK: Shape = Shape::new("webhook").required(&["url"]).many();
static MAIL: Shape = Shape {
    required: &["host", "from", "to"],
    ..Shape::new("mail")
        .attributes(&["host", "port", "from", "to", "tls", "user", "passwordFile"])
        .many()
};
static NOTIFY: Shape = Shape::new("notify")
    .attributes(&["event", "interval", "restarts", "within"])
    .holds(&[&WEBHOOK, &MAIL])
    .many();

static CONFIG: Shape = Shape::new("config").holds(&[
    &TCPPORT,
    &LOG,
    &TEMP,
    &TRACELEVEL,
    &TRACESTATSINTERVAL,
    &KEEP_DAYS,
    &CONTROL_GROUP,
    &STARTS_PER_MINUTE,
    &LEFTOVERS,
    &NOTIFY,
]);
static SETTING: Shape = Shape::new("setting").text().required(&["name"]).many();
static SETTINGS: Shape = Shape::new("settings").holds(&[&SETTING]);
static PROFILES: Shape = Shape::new("profiles").holds(&[&PROFILE]);
static SERVERS: Shape = Shape::new("servers").holds(&[&SERVER]);

/// The root.
pub(in crate::registry) static SUPERVISOR: Shape =
    Shape::new("supervisor").holds(&[&CONFIG, &SETTINGS, &PROFILES, &SERVERS]);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    type Names = BTreeSet<(String, Vec<String>, Vec<String>)>;

    fn strings(names: impl Iterator<Item = impl Into<String>>) -> Vec<String> {
        let mut names: Vec<String> = names.map(Into::into).collect();
        names.sort();
        names
    }

    fn of_table(shape: &Shape, names: &mut Names) {
        let children = strings(shape.children.iter().map(|child| child.name));
        names.insert((shape.name.to_owned(), strings(shape.attributes.iter().copied()), children));
        for child in shape.children {
            of_table(child, names);
        }
    }

    /// Name, attributes and children of every element that the schema allows.
    fn of_schema(xsd: &roxmltree::Document<'_>) -> Names {
        let lookup = |kind: &'static str, name: &str| {
            let mut all = xsd.root_element().children();
            let name = name.to_owned();
            all.find(move |node| {
                node.has_tag_name_local(kind) && node.attribute("name") == Some(&name)
            })
        };
        let mut names = Names::new();
        for element in xsd.descendants().filter(|node| node.has_tag_name_local("element")) {
            let Some(label) = element.attribute("name") else { continue };
            let mut attributes = Vec::new();
            let mut children = Vec::new();
            let mut inside: Vec<roxmltree::Node<'_, '_>> = vec![element];
            inside.extend(element.attribute("type").and_then(|ty| lookup("complexType", ty)));
            while let Some(node) = inside.pop() {
                for child in node.children().filter(roxmltree::Node::is_element) {
                    let own = child.attribute("name").or(child.attribute("ref"));
                    match child.tag_name().name() {
                        "element" => children.extend(own.map(str::to_owned)),
                        "attribute" => attributes.extend(own.map(str::to_owned)),
                        "group" => inside.extend(own.and_then(|name| lookup("group", name))),
                        "attributeGroup" => {
                            inside.extend(own.and_then(|name| lookup("attributeGroup", name)));
                        }
                        "annotation" | "unique" => {}
                        _ => {
                            let base = child.attribute("base");
                            inside.extend(base.and_then(|base| lookup("complexType", base)));
                            inside.push(child);
                        }
                    }
                }
            }
            names.insert((
                label.to_owned(),
                strings(attributes.into_iter()),
                strings(children.into_iter()),
            ));
        }
        names
    }

    trait Local {
        fn has_tag_name_local(&self, name: &str) -> bool;
    }

    impl Local for roxmltree::Node<'_, '_> {
        fn has_tag_name_local(&self, name: &str) -> bool {
            self.is_element() && self.tag_name().name() == name
        }
    }

    #[test]
    fn the_schema_knows_the_same_names() {
        let schema = include_str!("../../../assets/SupervisorRegistry.xsd");
        let schema = roxmltree::Document::parse(schema).expect("the schema is well-formed");
        let mut known = Names::new();
        of_table(&SUPERVISOR, &mut known);
        assert_eq!(of_schema(&schema), known);
    }

    #[test]
    fn the_reference_explains_every_name() {
        let reference = include_str!("../../../docs/registry.md");
        let mut table = Names::new();
        of_table(&SUPERVISOR, &mut table);
        for (element, attributes, _) in table {
            assert!(reference.contains(&format!("`{element}`")), "{element} is not explained");
            for attribute in attributes {
                assert!(reference.contains(&format!("`{attribute}`")), "{element}'s {attribute}");
            }
        }
    }
}
