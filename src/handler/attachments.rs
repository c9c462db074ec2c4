//! What stages on the way have attached to a job, for its handler.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Values by their types. Empty for most jobs, and then free.
#[derive(Clone, Default)]
pub(crate) struct Attachments(Option<Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl Attachments {
    /// Attaches a value, in the place of an earlier one of its type.
    pub(crate) fn attach<T: Send + Sync + 'static>(&mut self, value: T) {
        let values = Arc::make_mut(self.0.get_or_insert_default());
        values.insert(TypeId::of::<T>(), Arc::new(value));
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        let value = self.0.as_ref()?.get(&TypeId::of::<T>())?;
        value.downcast_ref()
    }
}

impl fmt::Debug for Attachments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.as_ref().map_or(0, |values| values.len());
        f.debug_tuple("Attachments").field(&count).finish()
    }
}
