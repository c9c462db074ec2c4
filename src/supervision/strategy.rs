//! What happens to the siblings of a child that ends: [`Strategy`] and [`AutoShutdown`].
//!
//! Plain values, chosen in a [`SupervisorSpec`](super::SupervisorSpec) and read by its supervisor.

/// Which children are restarted together when one of them has to be restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Only the child that ended.
    #[default]
    OneForOne,
    /// All children: the others are stopped in reverse start order, then all start in start order.
    OneForAll,
    /// The child that ended and those started after it.
    RestForOne,
}

/// Whether a supervisor stops by itself when its significant children have ended by themselves.
///
/// A significant child counts once it ends and is not restarted: a transient child that stops
/// normally, a temporary child that ends in any way. Children ended by the supervisor do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AutoShutdown {
    /// Never; significant children are refused.
    #[default]
    Never,
    /// As soon as one significant child has ended.
    AnySignificant,
    /// When no significant child is left.
    AllSignificant,
}
