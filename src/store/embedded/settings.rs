//! The server settings an embedded server is started with.
//!
//! Pure: defaults by the kind of folder, then the caller's additions in order, later ones winning. They go on the command
//! line, so they hold for one run and win over `postgresql.conf` and `ALTER SYSTEM`.

use super::error::{EmbeddedError, Trouble};

/// The oldest PostgreSQL callboard works with.
pub(super) const OLDEST_MAJOR: u32 = 13;

/// Settings the server's owner decides, so the caller may not.
const RESERVED: &[&str] = &[
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "lc_messages",
    "listen_addresses",
    "log_destination",
    "logging_collector",
    "port",
    "unix_socket_directories",
];

/// What holds for every server. Two hundred connections leave room for the pools of a whole test binary.
const ALWAYS: &[(&str, &str)] = &[("max_connections", "200"), ("shared_buffers", "128MB")];

/// What holds when the folder is thrown away: nothing need survive a crash of the machine.
const THROWAWAY: &[(&str, &str)] = &[("fsync", "off"), ("full_page_writes", "off")];

/// Whether data must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Kept: PostgreSQL's own durable defaults hold.
    Kept,
    /// Thrown away with the folder.
    Throwaway,
}

/// The settings for a folder of this `durability`, with the caller's last.
pub(super) fn effective(durability: Durability, own: &[(String, String)]) -> Vec<(String, String)> {
    let throwaway = if durability == Durability::Throwaway {
        THROWAWAY
    } else {
        &[]
    };
    let defaults = ALWAYS
        .iter()
        .chain(throwaway)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    defaults.chain(own.iter().cloned()).collect()
}

/// Refuses a setting that is reserved or cannot be a command-line argument.
pub(super) fn validate(name: &str, value: &str) -> Result<(), EmbeddedError> {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    let expected = if !is_name {
        "a PostgreSQL setting's name (letters, digits, `_` and `.`)"
    } else if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        "a setting that the embedded server does not decide itself"
    } else if value.contains('\0') {
        "a value without NUL characters"
    } else {
        return Ok(());
    };
    Err(Trouble::Config {
        option: "setting",
        expected,
        value: format!("{name}={value}"),
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_folders_stay_durable_and_the_callers_settings_come_last() {
        let own = [("max_connections".to_owned(), "20".to_owned())];
        let names = |durability| {
            effective(durability, &own)
                .into_iter()
                .map(|(n, v)| n + "=" + &v)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(Durability::Kept),
            [
                "max_connections=200",
                "shared_buffers=128MB",
                "max_connections=20"
            ]
        );
        assert_eq!(
            names(Durability::Throwaway)[2..4],
            ["fsync=off", "full_page_writes=off"]
        );
    }

    #[test]
    fn reserved_and_malformed_settings_are_refused() {
        assert!(validate("work_mem", "8MB").is_ok());
        assert!(validate("auto_explain.log_min_duration", "0").is_ok());
        for (name, value) in [
            ("Port", "1"),
            ("", "x"),
            ("a b", "x"),
            ("-c", "x"),
            ("work_mem", "\0"),
        ] {
            assert!(validate(name, value).unwrap_err().is_config(), "{name:?}");
        }
    }
}
