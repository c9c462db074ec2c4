//! A message without what differs from one time to the next.
//!
//! Pure text. Its rules are part of the [fingerprints](super::ErrorFingerprint) that are stored, so tests pin them.

/// How much of a message counts, in bytes. What comes later is detail, and a long message costs no more.
const MAX_READ: usize = 1024;
/// Stands for whatever differs.
const VARIES: char = '#';
/// The shortest word of hexadecimal digits that is taken for an id: a short commit hash.
const SHORTEST_HEX: usize = 6;
/// The shortest word of letters and digits that is taken for an id, if it has digits in two places.
const SHORTEST_ID: usize = 10;

/// A message without what differs from one time to the next. Of its first 1,024 bytes, `#` takes the place of
///
/// - a quoted text: `'…'`, `"…"`, `` `…` ``, with its quotes;
/// - a UUID, a hexadecimal number of six digits and more, or after `0x`;
/// - a word of ten characters and more with digits in two places or more, such as a ULID;
/// - every other run of digits, and a row of them: `10.0.0.1:5432`, `2026-11-25`, `-1.5`, `1, 2, 3`;
/// - in a path or URL, each part that has a digit in it; what follows a `?` is left out.
///
/// White space shrinks to one space. Everything else stays, upper and lower case too.
///
/// # Examples
///
/// ```
/// use callboard::job::normal_message;
///
/// let one = normal_message("user 17 (\"Anna\") not found at 10.0.0.1:5432");
/// assert_eq!(one, "user # (#) not found at #");
/// assert_eq!(one, normal_message("user 4711 (\"Bob\") not found at 10.0.0.2:5432"));
/// ```
#[must_use]
pub fn normal_message(message: &str) -> String {
    let mut rest = &message[..message.floor_char_boundary(MAX_READ)];
    let mut normal = Normal::default();
    while let Some(first) = rest.chars().next() {
        let used = if first.is_whitespace() {
            normal.space();
            first.len_utf8()
        } else if let Some(used) = quoted(rest, normal.last) {
            normal.varies();
            used
        } else if let Some(used) = path(rest, normal.last) {
            normal.path(&rest[..used]);
            used
        } else if first.is_alphanumeric() {
            let used = uuid(rest).unwrap_or_else(|| word(rest));
            normal.word(&rest[..used]);
            used
        } else {
            normal.push(first);
            first.len_utf8()
        };
        normal.last = rest[..used].chars().next_back();
        rest = &rest[used..];
    }
    normal.text.truncate(normal.text.trim_end().len());
    normal.text
}

/// The normal form as it grows.
#[derive(Default)]
struct Normal {
    text: String,
    /// The last character that was read.
    last: Option<char>,
}

impl Normal {
    fn push(&mut self, char: char) {
        self.text.push(char);
    }

    fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.push(' ');
        }
    }

    /// A part that differs; a row of them is one.
    fn varies(&mut self) {
        for between in ["", ".", ":", "-", ",", "_", "+", ", "] {
            if self.ends_with_varying(between) {
                self.text.truncate(self.text.len() - between.len());
                return;
            }
        }
        if let Some(before) = self.text.strip_suffix(['-', '+']) {
            let is_sign = before.ends_with([' ', '(', '=', '[', ':']) || before.is_empty();
            self.text.truncate(before.len() + usize::from(!is_sign));
        }
        self.push(VARIES);
    }

    fn ends_with_varying(&self, between: &str) -> bool {
        let before = self.text.strip_suffix(between);
        before.is_some_and(|text| text.ends_with(VARIES))
    }

    fn word(&mut self, word: &str) {
        if is_id(word) {
            return self.varies();
        }
        let mut was_digit = false;
        for char in word.chars() {
            match (char.is_ascii_digit(), was_digit) {
                (true, false) => self.varies(),
                (true, true) => {}
                (false, _) => self.push(char),
            }
            was_digit = char.is_ascii_digit();
        }
    }

    fn path(&mut self, path: &str) {
        let path = path.split('?').next().unwrap_or_default();
        for (index, part) in path.split('/').enumerate() {
            if index > 0 {
                self.push('/');
            }
            // A port, or a line and a column.
            let (name, place) = part.split_once(':').unwrap_or((part, ""));
            match name.contains(|char: char| char.is_ascii_digit()) {
                true => self.push(VARIES),
                false => self.text.push_str(name),
            }
            if name.len() < part.len() {
                self.push(':');
                match place.contains(|char: char| char.is_ascii_digit()) {
                    true => self.push(VARIES),
                    false => self.text.push_str(place),
                }
            }
        }
    }
}

/// How long the quoted text is that begins here.
fn quoted(text: &str, before: Option<char>) -> Option<usize> {
    let quote = text
        .chars()
        .next()
        .filter(|c| matches!(c, '\'' | '"' | '`'))?;
    // An apostrophe is no quote.
    if before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char == '\\' {
            chars.next();
        } else if char == quote {
            let is_inside = chars.peek().is_some_and(|(_, next)| next.is_alphanumeric());
            if !is_inside {
                return Some(at + 1);
            }
        }
    }
    None
}

/// How long the path or URL is that begins here.
fn path(text: &str, before: Option<char>) -> Option<usize> {
    if before.is_some_and(|char| char.is_alphanumeric() || char == '/') {
        return None;
    }
    let is_end = |char: char| char.is_whitespace() || "'\"`()[]{}<>,;|=".contains(char);
    // The value of a parameter does not end it.
    let end = match text.find(is_end) {
        Some(end) if text[..end].contains('?') => text.find(char::is_whitespace),
        end => end,
    };
    let path = text[..end.unwrap_or(text.len())].trim_end_matches(['.', ':', '!', '?', ',', ';']);
    path.contains('/').then_some(path.len())
}

/// How long the UUID is that begins here.
fn uuid(text: &str) -> Option<usize> {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let end = GROUPS.iter().sum::<usize>() + GROUPS.len() - 1;
    let mut groups = text.get(..end)?.split('-');
    let is_whole = GROUPS.iter().all(|digits| {
        let group = groups.next().unwrap_or_default();
        group.len() == *digits && group.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let ends = text[end..]
        .chars()
        .next()
        .is_none_or(|next| !next.is_alphanumeric());
    (is_whole && ends).then_some(end)
}

fn word(text: &str) -> usize {
    text.find(|char: char| !char.is_alphanumeric())
        .unwrap_or(text.len())
}

/// Whether a word is an id, and not a word with a number in it.
fn is_id(word: &str) -> bool {
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if word.strip_prefix("0x").is_some_and(is_hex) || (word.contains('-') && uuid(word).is_some()) {
        return true;
    }
    let is_digit = |char: char| char.is_ascii_digit();
    let places = word
        .split(|char| !is_digit(char))
        .filter(|run| !run.is_empty())
        .count();
    let is_long_hex = word.len() >= SHORTEST_HEX && places > 0 && is_hex(word);
    is_long_hex || (word.len() >= SHORTEST_ID && places > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(messages: &[&str], normal: &str) {
        for message in messages {
            assert_eq!(normal_message(message), normal, "{message:?}");
        }
    }

    #[test]
    fn numbers_and_rows_of_them_do_not_count() {
        alike(
            &[
                "user 17 not found",
                "user 4711 not found",
                "user -3 not found",
            ],
            "user # not found",
        );
        alike(&["took 1.5 s", "took 12 s"], "took # s");
        alike(
            &["10.0.0.1:5432 refused", "127.0.0.1:80 refused"],
            "# refused",
        );
        alike(&["since 2026-11-25", "since 1999-01-02"], "since #");
        alike(
            &["rows 1, 2, 3 locked", "rows 4, 5 locked"],
            "rows # locked",
        );
        alike(
            &["at 2026-11-25T23:48:01.5Z", "at 2025-01-02T03:04:05Z"],
            "at #T#Z",
        );
        alike(&["after 500ms", "after 20ms"], "after #ms");
        alike(&["not utf8", "not utf8"], "not utf#");
    }

    #[test]
    fn ids_do_not_count() {
        alike(
            &[
                "order 550e8400-e29b-41d4-a716-446655440000 is paid",
                "order abcdefab-cdef-abcd-efab-cdefabcdefab is paid",
            ],
            "order # is paid",
        );
        alike(
            &[
                "commit a1b2c3d",
                "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
            ],
            "commit #",
        );
        alike(&["at 0xdeadbeef", "at 0x7f"], "at #");
        alike(
            &["job 01ARZ3NDEKTSV4RRFFQ69G5FAV", "job 7Hk2x9ZqLm"],
            "job #",
        );
        alike(&["a faded facade"], "a faded facade");
    }

    #[test]
    fn quoted_texts_do_not_count_and_apostrophes_are_no_quotes() {
        alike(
            &[
                "no such table \"users\"",
                "no such table 'orders'",
                "no such table `a\\`b`",
            ],
            "no such table #",
        );
        alike(
            &["can't open 'a'", "can't open 'it's here'"],
            "can't open #",
        );
        alike(&["an 'open end"], "an 'open end");
        alike(&["Some(\"x\") and \"y\""], "Some(#) and #");
    }

    #[test]
    fn variable_parts_of_paths_do_not_count() {
        alike(
            &[
                "cannot read /var/lib/user_17/photo.png",
                "cannot read /var/lib/user_9/photo.png",
            ],
            "cannot read /var/lib/#/photo.png",
        );
    }

    #[test]
    fn places_in_files_and_on_hosts_do_not_count_and_their_names_do() {
        alike(
            &[
                "panicked at src/main.rs:10:5",
                "panicked at src/main.rs:7:1",
            ],
            "panicked at src/main.rs:#",
        );
        alike(
            &[
                "GET https://api.example.com:8443/v1/users/17?token=x failed",
                "GET https://api.example.com:99/v2/users/8?a=b&c=d failed",
            ],
            "GET https://api.example.com:#/#/users/# failed",
        );
        alike(&["and/or"], "and/or");
    }

    #[test]
    fn white_space_shrinks_and_hostile_messages_do_no_harm() {
        alike(&["  a \n\t b  ", "a b"], "a b");
        alike(&["", " \n"], "");
        for hostile in [
            "'".repeat(9_000),
            "/".repeat(9_000),
            "é'\\".repeat(9_000),
            "1-".repeat(9_000),
        ] {
            assert!(normal_message(&hostile).len() <= MAX_READ);
        }
    }
}
