//! As much of PostgreSQL's protocol as the proxy must read: where messages end, and which statement
//! one of them runs. Pure.
//!
//! Invariant: bytes are never changed, only cut into messages.

use std::collections::HashMap;

/// A request for encryption, by TLS or by GSSAPI, instead of the first message.
const ENCRYPTION_REQUESTS: [u32; 2] = [80_877_103, 80_877_104];

/// What a client says, message by message.
#[derive(Debug, Default)]
pub(super) struct ClientStream {
    buffer: Vec<u8>,
    has_begun: bool,
}

/// A whole message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientMessage {
    /// The server would say no, and the proxy says it instead.
    EncryptionRequest,
    /// The first one, which has no tag.
    Startup(Vec<u8>),
    /// Any later one, tag and length included.
    Tagged(Vec<u8>),
}

impl ClientStream {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub(super) fn next(&mut self) -> Option<ClientMessage> {
        let tag = usize::from(self.has_begun);
        let length = number(self.buffer.get(tag..tag + 4)?) as usize;
        if self.buffer.len() < tag + length {
            return None;
        }
        let rest = self.buffer.split_off(tag + length);
        let message = std::mem::replace(&mut self.buffer, rest);
        if self.has_begun {
            return Some(ClientMessage::Tagged(message));
        }
        let code = message.get(4..8).map(number);
        if code.is_some_and(|code| ENCRYPTION_REQUESTS.contains(&code)) {
            return Some(ClientMessage::EncryptionRequest);
        }
        self.has_begun = true;
        Some(ClientMessage::Startup(message))
    }
}

fn number(bytes: &[u8]) -> u32 {
    let four = bytes.try_into().expect("a length has four bytes");
    u32::from_be_bytes(four)
}

/// The prepared statements of a connection, by name.
#[derive(Debug, Default)]
pub(super) struct Statements(HashMap<Vec<u8>, Vec<u8>>);

/// What a message means to somebody who waits for answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// A statement with this text will run, and be answered when the client says [`Sync`](Self::Sync).
    Run(&'a [u8]),
    /// A statement with this text runs and is answered at once.
    Query(&'a [u8]),
    /// The server answers that it is ready.
    Sync,
    /// Nothing.
    Other,
}

impl Statements {
    pub(super) fn read<'a>(&'a mut self, message: &'a [u8]) -> Meaning<'a> {
        let (tag, body) = (message[0], message.get(5..).unwrap_or_default());
        match tag {
            b'P' => {
                let (name, rest) = text(body);
                self.0.insert(name.to_vec(), text(rest).0.to_vec());
                Meaning::Other
            }
            b'B' => {
                let (_portal, rest) = text(body);
                let statement = self.0.get(text(rest).0);
                Meaning::Run(statement.map(Vec::as_slice).unwrap_or_default())
            }
            b'C' if body.first() == Some(&b'S') => {
                self.0.remove(text(&body[1..]).0);
                Meaning::Other
            }
            b'Q' => Meaning::Query(text(body).0),
            b'S' => Meaning::Sync,
            _ => Meaning::Other,
        }
    }
}

/// The text up to the next zero byte, and what follows it.
fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0);
    end.map_or((bytes, &[]), |end| (&bytes[..end], &bytes[end + 1..]))
}

/// Counts how often a server said that it is ready for the next query.
#[derive(Debug, Default)]
pub(super) struct ReadyCounter {
    header: Vec<u8>,
    /// What is left of a message whose header was read.
    skip: usize,
}

impl ReadyCounter {
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut ready = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let missing = (5 - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.header.len() == 5 {
                ready += u64::from(self.header[0] == b'Z');
                self.skip = (number(&self.header[1..]) as usize).saturating_sub(4);
                self.header.clear();
            }
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 4).to_be_bytes();
        [&[tag], &length[..], body].concat()
    }

    fn startup(code: u32) -> Vec<u8> {
        [8_u32.to_be_bytes(), code.to_be_bytes()].concat()
    }

    #[test]
    fn messages_are_found_wherever_the_stream_is_torn() {
        let (first, second) = (startup(196_608), message(b'Q', b"table jobs\0"));
        let bytes = [startup(80_877_103), first.clone(), second.clone()].concat();
        for size in 1..=bytes.len() {
            let (mut stream, mut heard) = (ClientStream::default(), Vec::new());
            for piece in bytes.chunks(size) {
                stream.push(piece);
                heard.extend(std::iter::from_fn(|| stream.next()));
            }
            let expected = [
                ClientMessage::EncryptionRequest,
                ClientMessage::Startup(first.clone()),
                ClientMessage::Tagged(second.clone()),
            ];
            assert_eq!(heard, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_bound_statement_is_known_by_the_text_it_was_prepared_with() {
        let mut statements = Statements::default();
        let parse = message(b'P', b"s1\0table jobs\0\0\0");
        let bind = message(b'B', b"\0s1\0\0\0");
        assert_eq!(statements.read(&parse), Meaning::Other);
        assert_eq!(statements.read(&bind), Meaning::Run(b"table jobs"));
        assert_eq!(
            statements.read(&message(b'C', b"Ss1\0")),
            Meaning::Other,
            "closed"
        );
        assert_eq!(statements.read(&bind), Meaning::Run(b""));
        let query = message(b'Q', b"commit\0");
        assert_eq!(statements.read(&query), Meaning::Query(b"commit"));
        assert_eq!(statements.read(&message(b'S', b"")), Meaning::Sync);
    }

    #[test]
    fn readiness_is_counted_wherever_the_stream_is_torn() {
        let bytes = [
            message(b'Z', b"I"),
            message(b'D', b"ZZZZZ"),
            message(b'Z', b"T"),
        ]
        .concat();
        for size in 1..=bytes.len() {
            let mut counter = ReadyCounter::default();
            let ready: u64 = bytes.chunks(size).map(|piece| counter.count(piece)).sum();
            assert_eq!(ready, 2, "in pieces of {size}");
        }
    }
}
