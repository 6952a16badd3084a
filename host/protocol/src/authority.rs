use std::net::Ipv6Addr;

/// Splits `host[:port]`, where an IPv6 address with a port is in brackets. `None` if it cannot be read. Neither part is
/// checked: either may be empty.
pub fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Some((authority, None));
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_split_from_names_and_addresses_and_two_ports_are_unreadable() {
        for (authority, parts) in [
            ("", Some(("", None))),
            (":8080", Some(("", Some("8080")))),
            ("box", Some(("box", None))),
            ("box:", Some(("box", Some("")))),
            ("box:1:2", None),
            ("10.0.0.1:80", Some(("10.0.0.1", Some("80")))),
            ("::1", Some(("::1", None))),
            ("[::1]", Some(("::1", None))),
            ("[::1]:80", Some(("::1", Some("80")))),
            ("[::1]80", None),
            ("[box]:80", None),
            ("[::1", None),
        ] {
            assert_eq!(split_port(authority), parts, "{authority}");
        }
    }
}
