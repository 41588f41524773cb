//! What addresses look like: of the web and of mail. No name is resolved and nobody is asked.

use std::net::{IpAddr, Ipv6Addr};

/// `SCHEME://[USER[:PASSWORD]@]HOST[:PORT][/PATH]`, and nothing that a request line cannot carry.
pub(super) fn is_web(text: &str, schemes: &[&str]) -> bool {
    let plain =
        text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte));
    let authority = authority(text);
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    schemes.iter().any(|scheme| text.starts_with(scheme)) && plain && is_place(place)
}

/// What stands between `://` and the path.
pub(super) fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// `HOST[:PORT]`
fn is_place(place: &str) -> bool {
    let (host_is_right, port) = if let Some(v6) = place.strip_prefix('[') {
        let Some((host, port)) = v6.split_once(']') else { return false };
        (host.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let (host, port) = place.find(':').map_or((place, ""), |colon| place.split_at(colon));
        (!host.is_empty(), port)
    };
    let port_is_right = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            digits && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
    host_is_right && port_is_right
}

/// `NAME@HOST` or `NAME@[IP]`, as they can be written without quotes.
pub(super) fn is_mail(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    let in_a_name = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let name_is_right = name.len() <= 64
        && name.split('.').all(|part| !part.is_empty() && part.chars().all(in_a_name));
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_right = match literal {
        Some(literal) => literal.strip_prefix("IPv6:").unwrap_or(literal).parse::<IpAddr>().is_ok(),
        None => host.len() <= 254 && host.split('.').all(is_label),
    };
    name_is_right && host_is_right
}

fn is_label(label: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let edges = !label.starts_with('-') && !label.ends_with('-');
    (1..=63).contains(&label.len()) && edges && label.chars().all(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_web() {
        let is_web = |text| is_web(text, &["http://", "https://"]);
        for right in [
            "http://a",
            "https://hooks.example.com/T/B?x=1",
            "http://[::1]:80/",
            "http://user:pass@host:8080",
        ] {
            assert!(is_web(right), "{right}");
        }
        for wrong in [
            "ftp://a",
            "http://",
            "http:///x",
            "http://a:0/",
            "http://a:65536",
            "http://a:+1",
            "http://[a]/",
            "http://[::1",
            "http://a b",
            "http://a/#x",
            "http://u@",
            "http://ä",
        ] {
            assert!(!is_web(wrong), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_mail() {
        for right in ["a@b", "first.last+tag@mail.example.com", "root@[127.0.0.1]", "a@[IPv6:::1]"]
        {
            assert!(is_mail(right), "{right}");
        }
        for wrong in
            ["a", "@b", "a@", "a@b@c", "a b@c", ".a@b", "a@-b", "a@b..c", "a@b\nRCPT", "ä@b"]
        {
            assert!(!is_mail(wrong), "{wrong}");
        }
    }
}
