//! Where a server is reached and with which password.
//!
//! Invariant: the password leaves this file only inside a URL and through [`Password::expose`]; never by `Debug`.

use std::fmt;
use std::fmt::Write;

/// The superuser every embedded server is initialised with.
pub(super) const SUPERUSER: &str = "postgres";

/// A loopback port and the password of [`SUPERUSER`].
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) port: u16,
    pub(super) password: Password,
}

impl Address {
    /// The URL of the database `name`.
    pub(super) fn url(&self, name: &str) -> String {
        let (password, port) = (self.password.expose(), self.port);
        format!(
            "postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/{}",
            percent_encoded(name)
        )
    }
}

/// A password of letters and digits, hidden from `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Password(String);

impl Password {
    /// Takes a password read from a file; `None` unless it is what we write there: letters and digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_ours = (16..=256).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_ours.then(|| Self(text.to_owned()))
    }

    /// The text, for a URL or the password file.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

fn percent_encoded(name: &str) -> String {
    name.bytes()
        .fold(String::with_capacity(name.len()), |mut text, byte| {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte))
                }
                _ => write!(text, "%{byte:02X}").expect("writing to a String cannot fail"),
            }
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        Address {
            port: 5433,
            password: Password::parse("0123456789abcdef\n").unwrap(),
        }
    }

    #[test]
    fn url_names_user_password_port_and_database() {
        assert_eq!(
            address().url("a b/ü"),
            "postgres://postgres:0123456789abcdef@127.0.0.1:5433/a%20b%2F%C3%BC"
        );
    }

    #[test]
    fn debug_hides_the_password() {
        assert_eq!(
            format!("{:?}", address()),
            "Address { port: 5433, password: Password(***) }"
        );
    }

    #[test]
    fn short_and_foreign_passwords_are_not_ours() {
        assert_eq!(Password::parse(""), None);
        assert_eq!(Password::parse("0123456789abcde@"), None);
    }
}
