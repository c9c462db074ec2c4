//! How to install PostgreSQL on this system, for the error of a machine without it.

use std::fs;
use std::path::Path;

/// The command that installs the server's binaries on the system whose root folder is `root`.
pub(super) fn command(root: &Path) -> &'static str {
    if cfg!(target_os = "macos") {
        return "brew install postgresql@17";
    }
    // Without an os-release file the system is unknown, which the fallback says.
    let release = fs::read_to_string(root.join("etc/os-release")).unwrap_or_default();
    command_for(&release)
}

fn command_for(os_release: &str) -> &'static str {
    let families = os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")));
    let words = families.flat_map(|value| value.trim_matches('"').split_whitespace());
    words.filter_map(command_of).next().unwrap_or(
        "your package manager (the package is mostly named `postgresql` or `postgresql-server`)",
    )
}

fn command_of(family: &str) -> Option<&'static str> {
    Some(match family {
        "debian" | "ubuntu" => "apt-get install -y postgresql",
        "fedora" | "rhel" | "centos" | "rocky" | "almalinux" | "amzn" => {
            "dnf install -y postgresql-server"
        }
        "alpine" => "apk add postgresql",
        "arch" => "pacman -S --noconfirm postgresql",
        "suse" | "opensuse" => "zypper install -y postgresql-server",
        "nixos" => "nix-shell -p postgresql",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_gets_its_command() {
        assert_eq!(
            command_for("NAME=\"Debian\"\nID=debian\n"),
            "apt-get install -y postgresql"
        );
        assert_eq!(
            command_for("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"),
            "apt-get install -y postgresql"
        );
        assert_eq!(
            command_for("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"),
            "dnf install -y postgresql-server"
        );
        assert_eq!(command_for("ID=alpine"), "apk add postgresql");
        assert_eq!(command_for("ID=arch"), "pacman -S --noconfirm postgresql");
        assert!(command_for("").starts_with("your package manager"));
    }
}
