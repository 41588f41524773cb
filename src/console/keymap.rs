//! Which key does what: the defaults of the action table, changed by the operator's key file.
//!
//! ```toml
//! restart = "ctrl-r"
//! kill = []              # or "null": no key
//! [logs]
//! follow = ["F", "f"]
//! ```

use std::collections::BTreeMap;

use super::{
    action::{ACTIONS, Action, Context},
    key::Key,
};

#[derive(Debug, Clone)]
pub struct Keymap {
    bindings: BTreeMap<(Context, Key), Action>,
    /// The keys of an action, the shown one first.
    keys: BTreeMap<Action, Vec<Key>>,
}

impl Default for Keymap {
    fn default() -> Self {
        let keys = ACTIONS.iter().map(|entry| (entry.action, default_keys(entry.keys))).collect();
        Self::from_keys(keys).0
    }
}

fn default_keys(keys: &[&str]) -> Vec<Key> {
    keys.iter().map(|key| key.parse().expect("the table spells its keys right")).collect()
}

impl Keymap {
    /// The defaults, changed by the text of a key file; and every complaint about it, each to
    /// be told to the operator. What is not complained about is in force.
    pub fn with_file(text: &str) -> (Self, Vec<String>) {
        let mut complaints = Vec::new();
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                let complaint = format!("cannot read the key file: {}", error.message());
                return (Self::default(), vec![complaint]);
            }
        };
        let mut wishes = Vec::new();
        flatten("", &table, &mut wishes);
        let mut keys: BTreeMap<Action, Vec<Key>> =
            ACTIONS.iter().map(|entry| (entry.action, default_keys(entry.keys))).collect();
        let mut chosen = Vec::new();
        for (id, value) in wishes {
            let Some(entry) = ACTIONS.iter().find(|entry| entry.id == id) else {
                let nearest = ACTIONS
                    .iter()
                    .map(|entry| entry.id)
                    .min_by_key(|known| strsim::damerau_levenshtein(known, &id));
                complaints.push(format!(
                    "key file: no action \"{id}\", the nearest is \"{}\"",
                    nearest.unwrap_or_default()
                ));
                continue;
            };
            match keys_of(value) {
                Ok(wanted) => {
                    chosen.extend(wanted.iter().map(|key| (entry.context, *key, entry.action)));
                    keys.insert(entry.action, wanted);
                }
                Err(why) => complaints.push(format!("key file: {id}: {why}")),
            }
        }
        // What the operator chose outranks a default of the same place without a complaint
        // about the choice, but the default that lost its key is told.
        for (context, key, winner) in chosen {
            for entry in ACTIONS.iter().filter(|entry| entry.context == context) {
                let held = keys.get_mut(&entry.action).filter(|_| entry.action != winner);
                let Some(held) = held.filter(|held| held.contains(&key)) else { continue };
                if is_default(entry.keys, key) {
                    held.retain(|other| *other != key);
                    complaints.push(format!("key file: {key} no longer means {}", entry.id));
                }
            }
        }
        let (map, conflicts) = Self::from_keys(keys);
        complaints.extend(conflicts);
        (map, complaints)
    }

    fn from_keys(keys: BTreeMap<Action, Vec<Key>>) -> (Self, Vec<String>) {
        let mut bindings = BTreeMap::new();
        let mut conflicts = Vec::new();
        for entry in ACTIONS {
            for key in keys.get(&entry.action).into_iter().flatten() {
                if let Some(first) = bindings.get(&(entry.context, *key)) {
                    let first = super::action::entry_of(*first).id;
                    conflicts.push(format!(
                        "key file: {key} means both {first} and {}: {first} has it",
                        entry.id
                    ));
                } else {
                    bindings.insert((entry.context, *key), entry.action);
                }
            }
        }
        (Self { bindings, keys }, conflicts)
    }

    /// What `key` does on a screen of this context.
    pub fn action(&self, context: Context, key: Key) -> Option<Action> {
        let own = self.bindings.get(&(context, key));
        own.or_else(|| self.bindings.get(&(Context::Everywhere, key))).copied()
    }

    /// The keys of an action, the shown one first.
    pub fn keys(&self, action: Action) -> &[Key] {
        self.keys.get(&action).map_or(&[], Vec::as_slice)
    }
}

fn is_default(keys: &[&str], key: Key) -> bool {
    keys.iter().any(|text| text.parse() == Ok(key))
}

fn flatten<'a>(prefix: &str, table: &'a toml::Table, wishes: &mut Vec<(String, &'a toml::Value)>) {
    for (name, value) in table {
        let id = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&id, inner, wishes),
            other => wishes.push((id, other)),
        }
    }
}

fn keys_of(value: &toml::Value) -> Result<Vec<Key>, String> {
    match value {
        toml::Value::String(text) if text.is_empty() || text == "null" => Ok(Vec::new()),
        toml::Value::String(text) => Ok(vec![text.parse().map_err(readable)?]),
        toml::Value::Array(list) => {
            let texts = list.iter().map(|item| item.as_str().ok_or("expected a list of texts"));
            texts.map(|text| text?.parse().map_err(readable)).collect()
        }
        _ => Err("expected a key, a list of keys, or \"null\"".to_owned()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the shape that map_err wants")]
fn readable(error: super::key::InvalidKey) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_defaults_do_not_contradict_each_other() {
        let keys = ACTIONS.iter().map(|entry| (entry.action, default_keys(entry.keys))).collect();
        assert_eq!(Keymap::from_keys(keys).1, Vec::<String>::new());
        let ids: BTreeSet<_> = ACTIONS.iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), ACTIONS.len(), "an id names one action");
        let actions: BTreeSet<_> = ACTIONS.iter().map(|entry| entry.action).collect();
        assert_eq!(actions.len(), ACTIONS.len(), "an action stands in the table once");
    }

    #[test]
    fn keys_that_terminals_and_multiplexers_take_are_never_bound() {
        let map = Keymap::default();
        for taken in ['s', 'q', 'b', 'a', 'z', 'k'] {
            for context in [Context::Everywhere, Context::Components, Context::Logs] {
                assert_eq!(map.action(context, Key::ctrl(taken)), None, "^{taken}");
            }
        }
    }

    #[test]
    fn a_screen_has_its_own_meaning_of_a_key() {
        let map = Keymap::default();
        assert_eq!(map.action(Context::Components, Key::char('l')), Some(Action::Logs));
        assert_eq!(map.action(Context::Logs, Key::char('l')), Some(Action::Right));
        assert_eq!(map.action(Context::Logs, Key::char('r')), Some(Action::Restart));
    }

    #[test]
    fn a_key_file_rebinds_unbinds_and_is_told_what_is_wrong_with_it() {
        let file = "restart = \"ctrl-r\"\nkill = \"null\"\nfreze = \"f\"\nstart = \"x\"\n[logs]\nfollow = [\"F\", \"f\"]\nwrap = \"Fx\"\n";
        let (map, complaints) = Keymap::with_file(file);
        assert_eq!(map.action(Context::Components, Key::ctrl('r')), Some(Action::Restart));
        assert_eq!(map.action(Context::Components, Key::char('r')), None);
        assert_eq!(map.action(Context::Components, Key::char('K')), None);
        assert_eq!(map.action(Context::Logs, Key::char('f')), Some(Action::Follow));
        assert_eq!(map.action(Context::Components, Key::char('x')), Some(Action::Start));
        let all = complaints.join("\n");
        assert!(all.contains("the nearest is \"freeze\""), "{all}");
        assert!(all.contains("\"Fx\" is not a key"), "{all}");
        assert!(all.contains("x no longer means stop"), "{all}");
        assert_eq!(complaints.len(), 3, "{all}");
    }

    #[test]
    fn two_wishes_for_one_key_are_told() {
        let (_, complaints) = Keymap::with_file("restart = \"f\"\nstop = \"f\"\n");
        assert!(complaints.join("\n").contains("f means both restart and stop"), "{complaints:?}");
    }
}
