//! A component's command as a shell would take it, for `check` and for people.

use super::Component;

impl Component {
    /// Executable and arguments, quoted so that the line can be pasted into a shell.
    pub fn command_line(&self) -> String {
        let executable = self.executable.display().to_string();
        let words =
            std::iter::once(executable.as_str()).chain(self.arguments.iter().map(String::as_str));
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }
}

/// The word as it is where a shell takes it so, else in single quotes.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=+:,./@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if word.chars().any(char::is_control) {
        // $'…' names control characters: a terminal must not get them as they are.
        let escape = |c: char| match c {
            '\'' | '\\' => format!("\\{c}"),
            '\n' => "\\n".to_owned(),
            '\t' => "\\t".to_owned(),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        };
        return format!("$'{}'", word.chars().map(escape).collect::<String>());
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ComponentId;

    #[test]
    fn a_shell_would_take_the_same_words() {
        let id = ComponentId::new("x").expect("an id");
        let mut component = Component::new(id, "/opt/my app/run");
        component.arguments =
            ["-Xmx1g", "", "it's", "a b", "$HOME", "*", "x\ty"].map(str::to_owned).to_vec();
        assert_eq!(
            component.command_line(),
            r"'/opt/my app/run' -Xmx1g '' 'it'\''s' 'a b' '$HOME' '*' $'x\ty'"
        );
    }
}
