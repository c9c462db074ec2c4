//! What a type asked for: a tree of requests, and its description.
//!
//! Pure data. [`Shape`] knows nothing of serde; the tracer grows it, the module root hashes its description. A node is
//! one request at one position; a position where different passes asked differently holds several nodes. Children
//! come after their parents in the arena. A type met again inside itself becomes [`Request::Back`], so the tree of a
//! recursive type is finite.

use super::sample::Samples;

/// Index of a node in its [`Shape`].
pub(super) type NodeId = usize;

/// A position: a slot of a node.
pub(super) type Position = (NodeId, usize);

/// What was asked for. Requests with the same bytes in postcard (`str` and `String`) are one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Root,
    /// A value without parts, under its name in descriptions.
    Scalar(&'static str, Samples),
    Option,
    Seq,
    Map,
    Tuple(usize),
    Struct(&'static [&'static str]),
    Newtype,
    Enum(&'static [&'static str]),
    UnitVariant,
    NewtypeVariant,
    /// Needs a self-describing format.
    Any,
    /// The same type as the ancestor at this node.
    Back(NodeId),
}

impl Request {
    /// The samples this request may be answered with.
    pub(super) fn samples(self) -> Samples {
        match self {
            Self::Scalar(_, samples) => samples,
            Self::Option | Self::Map => Samples::Presence,
            Self::Seq => Samples::Length,
            _ => Samples::One,
        }
    }

    /// Whether values of this request contain others, so that it can recur inside itself.
    pub(super) fn is_compound(self) -> bool {
        !matches!(
            self,
            Self::Scalar(..) | Self::UnitVariant | Self::NewtypeVariant | Self::Any
        )
    }
}

/// What is known of one variant of an enum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Variant {
    #[default]
    Unexplored,
    Explored,
    /// Something inside it accepts no sample: it is avoided from then on.
    Refused,
    /// The type has no variant of this index (aliases make the list of names longer than the enum).
    Absent,
}

/// The requests seen at one position.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) nodes: Vec<NodeId>,
    /// The node entered last.
    pub(super) last: Option<NodeId>,
}

/// One request at one position, and what the tracer learned about answering it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) request: Request,
    /// Name of the visitor that asked: equal only for equal types. It never enters the description.
    pub(super) visitor: &'static str,
    pub(super) parent: Option<Position>,
    pub(super) slots: Vec<Slot>,
    pub(super) variants: Vec<Variant>,
    /// First variant that could be built: the way out of a recursion.
    pub(super) ground: Option<usize>,
    /// How often a pass through this enum was accepted.
    pub(super) turns: usize,
    pub(super) dial: usize,
    /// The node whose refusal turns this dial.
    pub(super) dialled_by: Option<NodeId>,
    pub(super) suspects: Vec<NodeId>,
    pub(super) attempts: usize,
    /// Answered with nothing inside from now on.
    pub(super) is_closed: bool,
    pub(super) is_refused: bool,
    /// Every variant of every enum in and under it was explored or is shut.
    pub(super) is_explored: bool,
    /// Its visitor accepted an answer, so the number of slots is final.
    pub(super) is_accepted: bool,
}

impl Node {
    fn new(request: Request, visitor: &'static str, parent: Option<Position>) -> Self {
        let variants = match request {
            // Hand-written impls may list no names and still take an index.
            Request::Enum(names) => vec![Variant::Unexplored; names.len().max(1)],
            _ => Vec::new(),
        };
        Self {
            request,
            visitor,
            parent,
            slots: Vec::new(),
            variants,
            ground: None,
            turns: 0,
            dial: 0,
            dialled_by: None,
            suspects: Vec::new(),
            attempts: 0,
            is_closed: false,
            is_refused: false,
            is_explored: true,
            is_accepted: false,
        }
    }

    /// Whether no pass goes through `slot` any more.
    pub(super) fn is_shut(&self, slot: usize) -> bool {
        let variant = self.variants.get(slot);
        self.is_closed || matches!(variant, Some(Variant::Refused | Variant::Absent))
    }

    /// Keeps passes out of `slot`; false if this request always needs it, or already is shut.
    pub(super) fn shut(&mut self, slot: usize) -> bool {
        if self.is_shut(slot) {
            return false;
        }
        match self.request {
            Request::Option | Request::Seq | Request::Map => self.is_closed = true,
            Request::Enum(_) => self.variants[slot] = Variant::Refused,
            _ => return false,
        }
        true
    }
}

/// The tree of requests; node 0 is the root.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) nodes: Vec<Node>,
}

impl Shape {
    pub(super) fn new() -> Self {
        let nodes = vec![Node::new(Request::Root, "", None)];
        Self { nodes }
    }

    /// The slot at `at`, made if it was never asked for.
    pub(super) fn slot(&mut self, at: Position) -> &mut Slot {
        let slots = &mut self.nodes[at.0].slots;
        if slots.len() <= at.1 {
            slots.resize_with(at.1 + 1, Slot::default);
        }
        &mut slots[at.1]
    }

    /// The node for `request` at `at`, made if it was never asked for there.
    pub(super) fn node(&mut self, at: Position, request: Request, visitor: &'static str) -> NodeId {
        let new = self.nodes.len();
        let known = self.nodes[at.0].slots.get(at.1).and_then(|slot| {
            let same = |&&node: &&NodeId| self.nodes[node].request == request;
            slot.nodes.iter().find(same).copied()
        });
        let slot = self.slot(at);
        slot.last = Some(known.unwrap_or(new));
        if known.is_none() {
            slot.nodes.push(new);
            self.nodes.push(Node::new(request, visitor, Some(at)));
            if matches!(request, Request::Enum(_)) {
                self.reopen(new);
            }
        }
        known.unwrap_or(new)
    }

    /// The nearest node around `at` (its own first) that is the same type asking the same.
    pub(super) fn recurs(&self, at: Position, request: Request, visitor: &str) -> Option<NodeId> {
        let mut around = Some(at.0);
        while let Some(node) = around {
            let this = &self.nodes[node];
            if this.request == request && this.visitor == visitor {
                return Some(node);
            }
            around = this.parent.map(|(parent, _)| parent);
        }
        None
    }

    /// The first `limit` nodes in and under `node` whose dial can be turned and is not turned by another.
    pub(super) fn suspects(&self, node: NodeId, limit: usize) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut todo = vec![node];
        while let Some(next) = todo.pop()
            && found.len() < limit
        {
            let this = &self.nodes[next];
            if this.request.samples().count() > 1 && this.dialled_by.is_none() {
                found.push(next);
            }
            let children = this.slots.iter().rev();
            todo.extend(children.flat_map(|slot| slot.nodes.iter().rev()));
        }
        found
    }

    /// Looks again at whether everything in and under these nodes was explored.
    pub(super) fn review(&mut self, mut nodes: Vec<NodeId>) {
        // Children come after their parents, and are looked at first.
        nodes.sort_unstable_by(|one, other| other.cmp(one));
        nodes.dedup();
        for id in nodes {
            let node = &self.nodes[id];
            let inside = |(index, slot): (usize, &Slot)| {
                node.is_shut(index)
                    || slot
                        .nodes
                        .iter()
                        .all(|&child| self.nodes[child].is_explored)
            };
            let is_explored = !node.variants.contains(&Variant::Unexplored)
                && node.slots.iter().enumerate().all(inside);
            self.nodes[id].is_explored = is_explored;
        }
    }

    /// Takes back that `node` and everything around it was explored.
    fn reopen(&mut self, node: NodeId) {
        let mut around = Some(node);
        while let Some(id) = around {
            self.nodes[id].is_explored = false;
            around = self.nodes[id].parent.map(|(parent, _)| parent);
        }
    }

    /// Whether some position was asked for differently in different passes.
    pub(super) fn is_dependent(&self) -> bool {
        let slots = self.nodes.iter().flat_map(|node| &node.slots);
        slots.into_iter().any(|slot| slot.nodes.len() > 1)
    }

    /// Whether some request accepted no sample.
    pub(super) fn is_refused(&self) -> bool {
        self.nodes.iter().any(|node| node.is_refused)
    }

    /// The shape in words: `{user_id: i64, tags: [string], at: string?}`.
    pub(super) fn describe(&self) -> String {
        self.describe_slot(&self.nodes[0].slots, 0)
    }

    fn describe_slot(&self, slots: &[Slot], index: usize) -> String {
        let nodes = slots.get(index).map_or(&[][..], |slot| &slot.nodes);
        let each: Vec<_> = nodes.iter().map(|&node| self.describe_node(node)).collect();
        match each.len() {
            0 => "-".to_owned(),
            1 => each.concat(),
            _ => format!("<{}>", each.join(" | ")),
        }
    }

    fn describe_node(&self, id: NodeId) -> String {
        let node = &self.nodes[id];
        let inner = |index| self.describe_slot(&node.slots, index);
        let text = match node.request {
            Request::Root | Request::UnitVariant => String::new(),
            Request::Scalar(name, _) => name.to_owned(),
            Request::Option => format!("{}?", inner(0)),
            Request::Seq => format!("[{}]", self.describe_elements(node)),
            Request::Map => format!("map<{}, {}>", inner(0), inner(1)),
            Request::Tuple(1) => format!("({},)", inner(0)),
            Request::Tuple(length) if length != node.slots.len() => {
                format!("({}; {length})", self.describe_run(node))
            }
            Request::Tuple(_) => format!("({})", self.describe_run(node)),
            Request::Struct(names) => format!("{{{}}}", self.describe_fields(node, names)),
            Request::Newtype => format!("newtype({})", inner(0)),
            Request::NewtypeVariant => format!("({})", inner(0)),
            Request::Enum(names) => format!("enum {{{}}}", self.describe_variants(node, names)),
            Request::Any => "any".to_owned(),
            Request::Back(target) => format!("^{}", self.depth(id) - self.depth(target)),
        };
        match node.is_refused {
            true => text + "!",
            false => text,
        }
    }

    /// What the elements of a sequence are, in order but however many.
    fn describe_elements(&self, node: &Node) -> String {
        let slots = 0..node.slots.len();
        let mut each: Vec<_> = slots
            .map(|index| self.describe_slot(&node.slots, index))
            .collect();
        each.dedup();
        each.join(", ")
    }

    /// The slots of a node in order, long runs of equals counted: `u8 × 32, string`.
    fn describe_run(&self, node: &Node) -> String {
        let mut runs: Vec<(String, usize)> = Vec::new();
        for index in 0..node.slots.len() {
            let text = self.describe_slot(&node.slots, index);
            match runs.last_mut() {
                Some((last, count)) if *last == text => *count += 1,
                _ => runs.push((text, 1)),
            }
        }
        let each = runs.into_iter().map(|(text, count)| match count {
            1..=3 => vec![text; count].join(", "),
            _ => format!("{text} × {count}"),
        });
        each.collect::<Vec<_>>().join(", ")
    }

    /// `name: shape` for every field; names and shapes apart where aliases make them differ in number.
    fn describe_fields(&self, node: &Node, names: &[&str]) -> String {
        if node.is_accepted && node.slots.len() != names.len() {
            return format!("{} = {}", list(names), self.describe_run(node));
        }
        let field = |(index, name): (usize, &&str)| {
            format!(
                "{}: {}",
                quoted(name),
                self.describe_slot(&node.slots, index)
            )
        };
        let each: Vec<_> = names.iter().enumerate().map(field).collect();
        each.join(", ")
    }

    /// Every variant name with what it holds; apart where aliases make them differ in number.
    fn describe_variants(&self, node: &Node, names: &[&str]) -> String {
        let body = |index: usize| match node.variants[index] {
            Variant::Absent => None,
            _ => Some(self.describe_slot(&node.slots, index)),
        };
        if names.is_empty() || node.variants.contains(&Variant::Absent) {
            let bodies: Vec<_> = (0..node.variants.len()).filter_map(body).collect();
            return format!("{} = {}", list(names), bodies.join(" / "));
        }
        let variant = |(index, name): (usize, &&str)| match node.variants[index] {
            Variant::Refused => format!(
                "{}{}!",
                quoted(name),
                self.describe_slot(&node.slots, index)
            ),
            _ => format!("{}{}", quoted(name), self.describe_slot(&node.slots, index)),
        };
        let each: Vec<_> = names.iter().enumerate().map(variant).collect();
        each.join(", ")
    }

    fn depth(&self, id: NodeId) -> usize {
        let parent = |id: &NodeId| self.nodes[*id].parent.map(|(parent, _)| parent);
        std::iter::successors(Some(id), parent).count()
    }
}

fn list(names: &[&str]) -> String {
    let each: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    each.join(", ")
}

/// `name`, in quotes unless it is a plain identifier, so that no name can imitate the notation around it.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match !name.is_empty() && name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn odd_names_are_quoted() {
        assert_eq!(quoted("user_id"), "user_id");
        assert_eq!(quoted("user-id"), "\"user-id\"");
        assert_eq!(quoted("a: i64, b"), "\"a: i64, b\"");
        assert_eq!(quoted("a\"\\"), "\"a\\\"\\\\\"");
        assert_eq!(quoted(""), "\"\"");
    }
}
