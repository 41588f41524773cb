//! What looks like a secret, and how it is told without telling it.
//!
//! Passwords stand in environments, in arguments (`-Ddb.password=…`) and in URLs
//! (`user:password@host`). They are recognised by the names beside them; the rules err on the
//! side of hiding. A secret that nothing names cannot be recognised.

use std::borrow::Cow;

/// What stands for a secret.
pub const MASK: &str = "***";

/// Names that hold one of these, wherever, name secrets.
const PARTS: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "token", "credential", "apikey", "privatekey"];

/// Names of which one of these is a whole word name secrets: `API_KEY`, but not `KEYBOARD`.
const WORDS: [&str; 7] = ["key", "keys", "pass", "pwd", "auth", "bearer", "accesskey"];

/// Whether the value of a variable or option of this name is to be kept secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.trim_start_matches('-');
    if matches!(name, "PWD" | "OLDPWD") {
        return false;
    }
    let lower = name.to_ascii_lowercase();
    let bare: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    PARTS.iter().any(|part| bare.contains(part))
        || words(name).any(|word| WORDS.iter().any(|secret| word.eq_ignore_ascii_case(secret)))
}

/// The text with what looks like a secret in it replaced: `user:***@host`, `password=***`.
pub fn masked(text: &str) -> Cow<'_, str> {
    if !text.contains(['=', '@', ':']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(without_bearers(&without_assignments(&without_passwords_of_urls(text))))
}

/// A command's words, each masked; the word after `--password` is masked as a whole.
pub fn masked_command<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut follows_a_name = false;
    let masked = words.into_iter().map(|word| {
        let is_value = std::mem::take(&mut follows_a_name) && !word.starts_with('-');
        follows_a_name = word.starts_with('-') && !word.contains('=') && is_secret_name(word);
        if is_value { MASK.to_owned() } else { masked(word).into_owned() }
    });
    masked.collect()
}

/// The words of `SOME_NAME`, `some.name`, `some-name` and `someName`.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        let mut before = rest.chars().next()?;
        let mut end = rest.len();
        for (at, c) in rest.char_indices().skip(1) {
            if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
                end = at;
                break;
            }
            before = c;
        }
        let (word, tail) = rest.split_at(end);
        rest = tail;
        Some(word)
    })
}

/// `scheme://user:password@host`.
fn without_passwords_of_urls(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        safe.push_str(before);
        let end = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        let authority = &after[..end];
        let user_and_password =
            authority.rfind('@').and_then(|at| Some((authority[..at].find(':')?, at)));
        match user_and_password {
            Some((colon, at)) => {
                safe.push_str(&authority[..=colon]);
                safe.push_str(MASK);
                safe.push_str(&authority[at..]);
            }
            None => safe.push_str(authority),
        }
        rest = &after[end..];
    }
    safe.push_str(rest);
    safe
}

/// `password=…`, wherever it stands. At the beginning of a word the value goes to its end: a
/// password may hold anything.
fn without_assignments(text: &str) -> String {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    let mut is_at_the_beginning = true;
    while let Some(at) = rest.find('=') {
        let (before, value) = (&rest[..at], &rest[at + 1..]);
        let name_at = before.char_indices().rev().take_while(|(_, c)| is_name(*c)).last();
        let name_at = name_at.map_or(at, |(at, _)| at);
        safe.push_str(&rest[..=at]);
        rest = value;
        if is_secret_name(&before[name_at..]) {
            if is_at_the_beginning && name_at == 0 {
                safe.push_str(MASK);
                return safe;
            }
            let ends = |c: char| c.is_whitespace() || matches!(c, '&' | ';' | '"' | '\'');
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            let end = match quote {
                Some(quote) => value[1..].find(quote).map_or(value.len(), |end| end + 2),
                None => value.find(ends).unwrap_or(value.len()),
            };
            safe.push_str(MASK);
            rest = &value[end..];
        }
        is_at_the_beginning = false;
    }
    safe.push_str(rest);
    safe
}

/// `Authorization: Bearer …`, `Basic …`.
fn without_bearers(text: &str) -> String {
    const HEADER: &str = "authorization:";
    let Some(at) = text.to_ascii_lowercase().find(HEADER) else { return text.to_owned() };
    format!("{} {MASK}", &text[..at + HEADER.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_secrets() {
        for name in [
            "PASSWORD",
            "DB_PASSWORD",
            "dbPassword",
            "MYSQL_PWD",
            "PGPASSWORD",
            "API_KEY",
            "apiKey",
            "ApiKey",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "credentials",
            "SSH_PASSPHRASE",
            "-Djavax.net.ssl.keyStorePassword",
            "--auth",
            "x.pass",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in
            ["PATH", "PWD", "OLDPWD", "KEYBOARD", "MONKEY", "COMPASS", "AUTHOR", "JAVA_HOME", ""]
        {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn text_keeps_everything_but_its_secrets() {
        for (text, safe) in [
            ("jdbc:postgresql://app:s3cret@db:5432/x", "jdbc:postgresql://app:***@db:5432/x"),
            ("http://u:p@a@b/x?y=1 ftp://v:w@c", "http://u:***@b/x?y=1 ftp://v:***@c"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
            ("-Ddb.password=a&b=c d", "-Ddb.password=***"),
            ("https://h/x?token=abc&page=2", "https://h/x?token=***&page=2"),
            ("export API_KEY='a b'; run --x=1", "export API_KEY=***; run --x=1"),
            ("-Xmx1g", "-Xmx1g"),
            ("a=b=c", "a=b=c"),
            ("Authorization: Bearer abc.def", "Authorization: ***"),
            ("ünï=ö password=ß", "ünï=ö password=***"),
        ] {
            assert_eq!(masked(text), safe);
        }
    }

    #[test]
    fn the_word_after_a_secret_option_is_hidden() {
        let words = ["run", "--password", "hunter2", "--key", "--verbose", "file", "-p=1"];
        assert_eq!(
            masked_command(words),
            ["run", "--password", "***", "--key", "--verbose", "file", "-p=1"]
        );
    }
}
