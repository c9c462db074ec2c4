//! Passes over a type until everything reachable was asked for.
//!
//! Knows [`Shape`] and the samples; the serde side (`probe`) calls [`Tracer::enter`] and [`Tracer::leave`] around every
//! request. One pass is one `T::deserialize` call, and it takes one variant of every enum. After an accepted pass its
//! variants count as explored; after a refused one the refusal is blamed on the innermost node that failed, and the
//! next sample is tried there. When no sample helps, the nearest option, sequence, map or variant around it is shut, so
//! that everything outside is still seen. Each pass turns a dial, shuts something, or explores; passes, requests,
//! nodes, depth and passes without news are limited, so a trace always ends.
//!
//! Every decision depends on what was asked before and nothing else, which is what makes a trace repeatable.

use serde::de::DeserializeOwned;

use super::fnv::Fnv;
use super::probe::{Probe, Refused};
use super::sample;
use super::shape::{NodeId, Position, Request, Shape, Variant};

/// Requests answered in one trace.
const MAX_REQUESTS: usize = 1_000_000;
/// Distinct requests remembered in one trace.
const MAX_NODES: usize = 1 << 16;
/// Requests nested in each other.
const MAX_DEPTH: usize = 128;
/// Passes in one trace.
const MAX_PASSES: usize = 1 << 14;
/// Accepted passes in a row that showed nothing new while something is unexplored.
const MAX_STALLS: usize = 256;
/// Dials turned for one refusal.
const MAX_SUSPECTS: usize = 16;

/// Why a pass failed.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The answer at this node was not accepted; another may be.
    Rejected(NodeId),
    /// Nothing will be accepted at this node.
    Hopeless(NodeId),
    /// The enum at this node has no variant of this index.
    Absent(NodeId, usize),
}

/// What the pass under way did so far.
#[derive(Debug, Default)]
struct Pass {
    depth: usize,
    /// How many recursions are open; inside one, everything is kept as small as possible.
    recursions: usize,
    open: Vec<Position>,
    chosen: Vec<Position>,
    fault: Option<Fault>,
    trail: Fnv,
    visited: Vec<NodeId>,
    /// How many nodes were known when it began.
    known: usize,
}

/// An entered request, to be given back to [`Tracer::leave`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Entered {
    pub(super) node: NodeId,
    is_recursion: bool,
}

/// How a trace ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Everything was explored.
    Explored,
    /// A refusal that nothing around it could be shut against, or a limit.
    GivenUp,
}

/// The trace of one type.
#[derive(Debug)]
pub(super) struct Tracer {
    shape: Shape,
    pass: Pass,
    passes: usize,
    requests: usize,
    stalls: usize,
    needs_any: bool,
    end: Option<End>,
    transcript: Fnv,
}

/// Traces `T` until it is explored or a limit is met.
pub(super) fn explore<T: DeserializeOwned>() -> Tracer {
    let mut tracer = Tracer {
        shape: Shape::new(),
        pass: Pass::default(),
        passes: 0,
        requests: 0,
        stalls: 0,
        needs_any: false,
        end: None,
        transcript: Fnv::default(),
    };
    while tracer.end.is_none() {
        tracer.begin();
        match T::deserialize(Probe::root(&mut tracer)) {
            Ok(_) => tracer.accepted(),
            Err(Refused) => tracer.refused(),
        }
    }
    tracer
}

impl Tracer {
    /// Whether everything in the type was seen.
    pub(super) fn is_complete(&self) -> bool {
        self.end == Some(End::Explored) && !self.shape.is_refused()
    }

    /// Whether the type needs a self-describing format.
    pub(super) fn needs_any(&self) -> bool {
        self.needs_any
    }

    /// The shape in words. Where one part's shape depends on another's value, a digest says how.
    pub(super) fn describe(&self) -> String {
        let mut text = self.shape.describe();
        if self.shape.is_dependent() {
            text += &format!(" by {:016x}", self.transcript.finish());
        }
        if self.end == Some(End::GivenUp) {
            text += " …";
        }
        text
    }

    fn begin(&mut self) {
        self.passes += 1;
        self.pass = Pass {
            visited: vec![0],
            known: self.shape.nodes.len(),
            ..Pass::default()
        };
    }

    /// Takes up what an accepted pass explored.
    fn accepted(&mut self) {
        self.transcript.number(self.pass.trail.finish());
        let mut is_news = self.shape.nodes.len() > self.pass.known;
        for &(node, variant) in &self.pass.chosen {
            let node = &mut self.shape.nodes[node];
            node.turns += 1;
            if node.variants[variant] == Variant::Unexplored {
                node.variants[variant] = Variant::Explored;
                is_news = true;
            }
        }
        self.stalls = if is_news { 0 } else { self.stalls + 1 };
        let visited = std::mem::take(&mut self.pass.visited);
        self.shape.review(visited);
        if self.shape.nodes[0].is_explored {
            self.end = Some(End::Explored);
        } else if self.stalls > MAX_STALLS {
            self.end = Some(End::GivenUp);
        }
        self.limit();
    }

    /// Finds another answer for what a refused pass failed at, or a way around it.
    fn refused(&mut self) {
        let can_go_on = match self.pass.fault.unwrap_or(Fault::Rejected(0)) {
            Fault::Absent(node, variant) => {
                self.shape.nodes[node].variants[variant] = Variant::Absent;
                true
            }
            Fault::Rejected(node) => self.retry(node) || self.avoid(node),
            Fault::Hopeless(node) => self.avoid(node),
        };
        if !can_go_on {
            self.end = Some(End::GivenUp);
        }
        self.limit();
    }

    fn limit(&mut self) {
        let is_spent = self.passes >= MAX_PASSES || self.is_spent();
        if self.end.is_none() && is_spent {
            self.end = Some(End::GivenUp);
        }
    }

    fn is_spent(&self) -> bool {
        self.requests > MAX_REQUESTS || self.shape.nodes.len() > MAX_NODES
    }

    /// Turns the dials in and under `node` to the next combination; false when all were tried.
    fn retry(&mut self, node: NodeId) -> bool {
        if self.shape.nodes[node].attempts == 0 {
            let suspects = self.shape.suspects(node, MAX_SUSPECTS);
            for &suspect in &suspects {
                self.shape.nodes[suspect].dialled_by = Some(node);
            }
            self.shape.nodes[node].suspects = suspects;
        }
        self.shape.nodes[node].attempts += 1;
        let this = &self.shape.nodes[node];
        let suspects = this.suspects.clone();
        let samples = suspects
            .iter()
            .map(|&id| self.shape.nodes[id].request.samples());
        let dials = sample::dials(&samples.collect::<Vec<_>>(), this.attempts);
        let is_next = dials.is_some();
        let dials = dials.unwrap_or_else(|| vec![0; suspects.len()]);
        for (suspect, dial) in suspects.into_iter().zip(dials) {
            self.shape.nodes[suspect].dial = dial;
        }
        is_next
    }

    /// Marks `node` as refused and shuts the nearest thing around it that can be; false if there is none.
    fn avoid(&mut self, node: NodeId) -> bool {
        self.shape.nodes[node].is_refused = true;
        let mut at = node;
        while let Some((parent, slot)) = self.shape.nodes[at].parent {
            if self.shape.nodes[parent].shut(slot) {
                return true;
            }
            at = parent;
        }
        false
    }

    /// Records that `visitor` makes `request` at `at`, and says which node answers it.
    pub(super) fn enter(
        &mut self,
        at: Position,
        request: Request,
        visitor: &'static str,
    ) -> Result<Entered, Refused> {
        self.tick()?;
        let around = match request.is_compound() {
            true => self.shape.recurs(at, request, visitor),
            false => None,
        };
        let asked = around.map_or(request, Request::Back);
        let here = self.shape.node(at, asked, visitor);
        self.pass.trail.number(here as u64);
        self.pass.visited.push(here);
        if self.pass.depth >= MAX_DEPTH {
            return Err(self.fail(Fault::Hopeless(here)));
        }
        self.pass.depth += 1;
        self.pass.recursions += usize::from(around.is_some());
        Ok(Entered {
            node: around.unwrap_or(here),
            is_recursion: around.is_some(),
        })
    }

    /// Records whether the visitor accepted the answer to an entered request.
    pub(super) fn leave<T>(&mut self, entered: Entered, answer: &Result<T, Refused>) {
        self.pass.depth -= 1;
        self.pass.recursions -= usize::from(entered.is_recursion);
        match answer {
            Ok(_) => self.shape.nodes[entered.node].is_accepted = true,
            Err(Refused) => {
                self.fail(Fault::Rejected(entered.node));
            }
        }
    }

    /// Counts one question, so that endless ones are refused.
    pub(super) fn tick(&mut self) -> Result<(), Refused> {
        self.requests += 1;
        match self.is_spent() {
            true => Err(Refused),
            false => Ok(()),
        }
    }

    /// Makes room for what is asked for at `at`, which may be nothing.
    pub(super) fn open(&mut self, at: Position) {
        self.shape.slot(at).last = None;
    }

    /// Passes on what came of `at`; a refusal not blamed yet was made by the code between the requests there.
    pub(super) fn close<T>(
        &mut self,
        at: Position,
        answer: Result<T, Refused>,
    ) -> Result<T, Refused> {
        if answer.is_err() {
            let blamed = self.shape.slot(at).last.unwrap_or(at.0);
            self.fail(Fault::Rejected(blamed));
        }
        answer
    }

    /// Refuses a request for a self-describing value.
    pub(super) fn fail_any(&mut self, entered: Entered) -> Refused {
        self.needs_any = true;
        self.fail(Fault::Hopeless(entered.node))
    }

    fn fail(&mut self, fault: Fault) -> Refused {
        self.pass.fault.get_or_insert(fault);
        Refused
    }

    /// The dial of `node`.
    pub(super) fn dial(&self, node: NodeId) -> usize {
        self.shape.nodes[node].dial
    }

    /// How many elements the container at `node` is to have.
    pub(super) fn length(&self, node: NodeId) -> usize {
        let this = &self.shape.nodes[node];
        match this.dial {
            _ if this.is_closed => 0,
            0 if self.pass.recursions > 0 => 0,
            dial => sample::length(dial),
        }
    }

    /// The variant this pass takes at the enum `node`.
    pub(super) fn choose(&mut self, node: NodeId) -> Result<usize, Refused> {
        let choice = match self.pass.recursions {
            0 => self.next_variant(node),
            _ => self.way_out(node),
        };
        let Some(variant) = choice else {
            return Err(self.fail(Fault::Hopeless(node)));
        };
        self.pass.trail.number(variant as u64);
        // Inside a recursion the variant is not explored: its options and sequences were left empty.
        if self.pass.recursions == 0 {
            self.pass.chosen.push((node, variant));
        }
        self.pass.open.push((node, variant));
        Ok(variant)
    }

    /// Ends what [`Tracer::choose`] began.
    pub(super) fn chosen<T>(&mut self, at: Position, answer: &Result<T, Refused>) {
        self.pass.open.pop();
        if answer.is_ok() {
            self.shape.nodes[at.0].ground.get_or_insert(at.1);
        }
    }

    /// Strikes out a variant the enum did not recognise.
    pub(super) fn fail_absent(&mut self, at: Position) -> Refused {
        self.fail(Fault::Absent(at.0, at.1))
    }

    /// The first variant with something left to explore; when there is none, they take turns.
    fn next_variant(&self, node: NodeId) -> Option<usize> {
        let this = &self.shape.nodes[node];
        let usable: Vec<_> = (0..this.variants.len())
            .filter(|&v| !this.is_shut(v))
            .collect();
        let is_explored = |variant: &usize| {
            let inside = this.slots.get(*variant).map_or(&[][..], |slot| &slot.nodes);
            let seen = |&child: &NodeId| self.shape.nodes[child].is_explored;
            this.variants[*variant] == Variant::Explored && inside.iter().all(seen)
        };
        let unexplored = usable.iter().copied().find(|variant| !is_explored(variant));
        unexplored.or_else(|| usable.get(this.turns % usable.len().max(1)).copied())
    }

    /// A variant that ends the recursion: one that could be built before, else one not under way.
    fn way_out(&self, node: NodeId) -> Option<usize> {
        let this = &self.shape.nodes[node];
        let is_free =
            |&variant: &usize| !this.is_shut(variant) && !self.pass.open.contains(&(node, variant));
        let ground = this.ground.filter(|&variant| !this.is_shut(variant));
        ground.or_else(|| (0..this.variants.len()).find(is_free))
    }
}
