//! The settings that have a default, and what is valid for them.

/// A setting that needs not be given.
pub(super) struct Setting {
    pub name: &'static str,
    pub default: Default,
    /// A relative value is joined to the install folder, because it is used inside options.
    pub absolute: bool,
    valid: Valid,
}

#[derive(Clone, Copy)]
pub(super) enum Default {
    /// May hold tokens.
    Text(&'static str),
    InstallFolder,
}

enum Valid {
    Any,
    NotEmpty,
    TraceLevel,
    ImageServer,
    HeapSize,
}

const fn setting(name: &'static str, default: &'static str, valid: Valid) -> Setting {
    Setting { name, default: Default::Text(default), absolute: false, valid }
}

/// What stands between the entries of a class path.
const SEPARATOR: &str = if cfg!(windows) { ";" } else { ":" };

pub(super) static SETTINGS: &[Setting] = &[
    setting("SV::log", "logs/Supervisor.log", Valid::NotEmpty),
    setting("SV::temp", "temp", Valid::NotEmpty),
    setting("SV::tracelevel", "2", Valid::TraceLevel),
    setting("SV::ImageServerMode", "ImageServer32", Valid::ImageServer),
    setting("SV::PsHeapSize", "512m", Valid::HeapSize),
    setting("SV::SvgHeapSize", "200m", Valid::HeapSize),
    setting("SV::pathSeparator", SEPARATOR, Valid::Any),
    Setting {
        name: "SV::installFolder",
        default: Default::InstallFolder,
        absolute: true,
        valid: Valid::Any,
    },
    Setting {
        name: "TC::home",
        default: Default::Text("tomcat"),
        absolute: true,
        valid: Valid::NotEmpty,
    },
    Setting {
        name: "TC::base",
        default: Default::Text("TC::home"),
        absolute: true,
        valid: Valid::NotEmpty,
    },
];

pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

impl Setting {
    /// Whether the value is valid, else what was expected.
    pub fn check(&self, value: &str) -> Result<(), &'static str> {
        let (valid, expected) = match self.valid {
            Valid::Any => (true, ""),
            Valid::NotEmpty => (!value.is_empty(), "expected a path"),
            Valid::TraceLevel => (matches!(value, "1" | "2" | "3" | "4"), "expected 1, 2, 3 or 4"),
            Valid::ImageServer if cfg!(windows) => (
                value == "ImageServer32",
                "expected ImageServer32 (ImageServer64 is not on Windows)",
            ),
            Valid::ImageServer => (
                matches!(value, "ImageServer32" | "ImageServer64"),
                "expected ImageServer32 or ImageServer64",
            ),
            Valid::HeapSize => (
                is_heap_size(value),
                "expected a Java heap size: a number, then k, m, g or t, for example 512m",
            ),
        };
        if valid { Ok(()) } else { Err(expected) }
    }
}

/// As Java's `-Xmx` takes it.
fn is_heap_size(value: &str) -> bool {
    let number = value.strip_suffix(['k', 'K', 'm', 'M', 'g', 'G', 't', 'T']).unwrap_or(value);
    number.parse::<u64>().is_ok_and(|number| number > 0)
        && number.bytes().all(|byte| byte.is_ascii_digit())
}
