//! A job as a function call: what `{module, function, args}` is in Elixir, checked by the compiler.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde::{Serialize, de::DeserializeOwned};

use super::erased::{Performed, runner};
use super::{Context, Handler};
use crate::job::{Backoff, Breaker, Call, Codec, Defaults, IntoOutcome, Kind, Upcaster};

/// A call of an async function, to be enqueued: `call!(mail::send_welcome(user_id, template))`.
///
/// The arguments are checked against the function's signature, and stored. A first parameter of type
/// `&mut Context` is left out; the worker gives it. The kind is the function's path as the compiler
/// knows it (`my_app::mail::send_welcome`), however it is imported here; a worker runs it if the same
/// function is registered there with [`functions!`](crate::functions).
///
/// # Examples
///
/// ```
/// use callboard::call;
///
/// mod mail {
///     use callboard::{BoxError, Context};
///
///     pub async fn send_welcome(cx: &mut Context, user_id: i64, template: String) -> Result<(), BoxError> {
///         println!("attempt {}: welcome {user_id} with {template}", cx.attempt());
///         Ok(())
///     }
/// }
///
/// let call = call!(mail::send_welcome(123, "short".to_owned())).priority(-1);
/// assert!(call.kind().ends_with("mail::send_welcome"));
/// ```
///
/// A wrong argument does not compile:
///
/// ```compile_fail
/// # use callboard::{BoxError, call};
/// async fn greet(name: String) -> Result<(), BoxError> { Ok(()) }
/// let call = call!(greet(5));
/// ```
#[macro_export]
macro_rules! call {
    ($($function:ident)::+ ( $($argument:expr),* $(,)? )) => {
        $crate::__private::call_of($($function)::+, ($($argument,)*))
    };
}

/// Async functions as handlers: `functions![reports::generate, mail::send_welcome]`.
///
/// Functions take up to eight arguments that serde can write and read, with or without
/// `&mut Context` first, and return `()`, an [`Outcome`](crate::Outcome), or a `Result` of either.
/// For defaults other than the crate's, see [`function!`](crate::function).
#[macro_export]
macro_rules! functions {
    ($($($function:ident)::+),* $(,)?) => {
        [$($crate::__private::handler_of($($function)::+)),*]
    };
}

/// One async function as a handler, with defaults of its own:
/// `function!(reports::generate).queue("reports").max_attempts(5)`.
#[macro_export]
macro_rules! function {
    ($($function:ident)::+) => {
        $crate::__private::function_of($($function)::+)
    };
}

/// An async function that can be a job; implemented for every one that fits.
///
/// `Shape` tells functions with a context from those without; `Arguments` is the tuple of the rest.
#[diagnostic::on_unimplemented(
    message = "this function cannot be called as a job with these arguments",
    note = "a job is an async fn with up to eight arguments that implement Serialize and \
            DeserializeOwned, with or without `&mut Context` first, that returns (), Outcome, or a \
            Result of either, and whose future is Send"
)]
pub trait Function<Shape, Arguments>: Send + Sync + 'static {
    /// Runs the function.
    fn run<'a>(&self, cx: &'a mut Context, arguments: Arguments) -> Performed<'a>;
}

/// An async function that can be written down as a call; implemented for every one that fits.
///
/// It asks less than [`Function`], nothing of the future above all: whether that is `Send` is not
/// known inside of the function's own body, and a function may enqueue itself.
#[diagnostic::on_unimplemented(
    message = "this function cannot be called as a job with these arguments",
    note = "a job is an async fn with up to eight arguments that implement Serialize and \
            DeserializeOwned, with or without `&mut Context` first, that returns (), Outcome, or a \
            Result of either"
)]
pub trait Callable<Shape, Arguments> {}

/// A callable with a context, for one lifetime of the context.
pub trait ContextCallable<'a, Arguments> {}

/// The shape of functions without a context.
#[derive(Debug)]
pub struct Plain;
/// The shape of functions with a context.
#[derive(Debug)]
pub struct WithContext;

/// A function with a context, for one lifetime of the context: what lets the future borrow it.
pub trait ContextFunction<'a, Arguments>: Send + Sync + 'static {
    /// The future.
    type Future: Future<Output = Self::Output> + Send + 'a;
    /// What it returns.
    type Output: IntoOutcome;

    /// Calls the function.
    fn invoke(&self, cx: &'a mut Context, arguments: Arguments) -> Self::Future;
}

macro_rules! implement_for_arguments {
    ($($argument:ident)*) => {
        impl<F, Fut, $($argument),*> Callable<Plain, ($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Fut,
            Fut: Future,
            Fut::Output: IntoOutcome,
        {
        }

        impl<'a, F, Fut, $($argument),*> ContextCallable<'a, ($($argument,)*)> for F
        where
            F: Fn(&'a mut Context, $($argument),*) -> Fut,
            Fut: Future,
            Fut::Output: IntoOutcome,
        {
        }

        impl<F, $($argument),*> Callable<WithContext, ($($argument,)*)> for F
        where
            F: for<'x> ContextCallable<'x, ($($argument,)*)>,
        {
        }

        impl<F, Fut, $($argument),*> Function<Plain, ($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: IntoOutcome,
            $($argument: Serialize + DeserializeOwned + Send + 'static,)*
        {
            #[allow(non_snake_case, reason = "the arguments are named like their types")]
            fn run<'a>(&self, _cx: &'a mut Context, ($($argument,)*): ($($argument,)*)) -> Performed<'a> {
                self($($argument),*).map(IntoOutcome::into_outcome).boxed()
            }
        }

        impl<'a, F, Fut, $($argument),*> ContextFunction<'a, ($($argument,)*)> for F
        where
            F: Fn(&'a mut Context, $($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'a,
            Fut::Output: IntoOutcome,
        {
            type Future = Fut;
            type Output = Fut::Output;

            #[allow(non_snake_case, reason = "the arguments are named like their types")]
            fn invoke(&self, cx: &'a mut Context, ($($argument,)*): ($($argument,)*)) -> Fut {
                self(cx, $($argument),*)
            }
        }

        impl<F, $($argument),*> Function<WithContext, ($($argument,)*)> for F
        where
            F: for<'x> ContextFunction<'x, ($($argument,)*)>,
            $($argument: Serialize + DeserializeOwned + Send + 'static,)*
        {
            fn run<'a>(&self, cx: &'a mut Context, arguments: ($($argument,)*)) -> Performed<'a> {
                self.invoke(cx, arguments).map(IntoOutcome::into_outcome).boxed()
            }
        }
    };
}

implement_for_arguments!();
implement_for_arguments!(A);
implement_for_arguments!(A B);
implement_for_arguments!(A B C);
implement_for_arguments!(A B C D);
implement_for_arguments!(A B C D E);
implement_for_arguments!(A B C D E G);
implement_for_arguments!(A B C D E G H);
implement_for_arguments!(A B C D E G H I);

/// What [`call!`](crate::call) expands to.
#[doc(hidden)]
pub fn call_of<F, Shape, Arguments>(_function: F, arguments: Arguments) -> Call
where
    F: Callable<Shape, Arguments>,
    Arguments: Serialize + DeserializeOwned + 'static,
{
    Call::named(std::any::type_name::<F>(), &arguments)
}

/// What [`function!`](crate::function) expands to.
#[doc(hidden)]
#[track_caller]
pub fn function_of<F, Shape, Arguments>(function: F) -> FunctionHandler<F, Shape, Arguments>
where
    F: Function<Shape, Arguments>,
{
    FunctionHandler {
        function,
        name: Cow::Borrowed(std::any::type_name::<F>()),
        aliases: Vec::new(),
        version: 1,
        upcasters: Vec::new(),
        defaults: Defaults::default(),
        breaker: None,
        place: Location::caller(),
        shape: PhantomData,
    }
}

/// What [`functions!`](crate::functions) expands to. One call and no conversion, so that a function
/// that does not fit is one error and not two.
#[doc(hidden)]
#[track_caller]
pub fn handler_of<F, Shape, Arguments>(function: F) -> Handler
where
    F: Function<Shape, Arguments>,
    Arguments: Serialize + DeserializeOwned + Send + 'static,
{
    function_of(function).into()
}

/// A function as a handler, before it is registered: made by [`function!`](crate::function).
///
/// The defaults hold where the function is registered: at the enqueue for queue and priority, where
/// the attempt runs for the rest.
#[derive(Debug)]
#[must_use = "a function runs no jobs until a board has it"]
pub struct FunctionHandler<F, Shape, Arguments> {
    function: F,
    name: Cow<'static, str>,
    aliases: Vec<&'static str>,
    version: i32,
    upcasters: Vec<Upcaster<Arguments>>,
    defaults: Defaults,
    breaker: Option<Breaker>,
    place: &'static Location<'static>,
    shape: PhantomData<fn() -> Shape>,
}

impl<F, Shape, Arguments> FunctionHandler<F, Shape, Arguments> {
    /// Runs jobs under this older name too: the path of the function before it was moved or renamed.
    pub fn alias(mut self, name: &'static str) -> Self {
        self.aliases.push(name);
        self
    }

    /// Puts its jobs into this queue.
    pub fn queue(mut self, queue: impl Into<Cow<'static, str>>) -> Self {
        self.defaults.queue = queue.into();
        self
    }

    /// Gives its jobs this priority; lower numbers run first.
    pub fn priority(mut self, priority: i16) -> Self {
        self.defaults.priority = priority;
        self
    }

    /// Lets this many attempts fail before a job is buried.
    pub fn max_attempts(mut self, max_attempts: u16) -> Self {
        self.defaults.max_attempts = max_attempts;
        self
    }

    /// Lets one attempt take this long.
    pub fn time_limit(mut self, time_limit: Duration) -> Self {
        self.defaults.time_limit = time_limit;
        self
    }

    /// Waits like this after a failure.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.defaults.backoff = backoff;
        self
    }

    /// Keeps its jobs waiting, without a charge, while what they call is out of order.
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// Reads jobs whose arguments had the shape of the tuple `Old`, as they were before the
    /// function's signature changed.
    pub fn upcast<Old>(mut self, upcast: impl Fn(Old) -> Arguments + Send + Sync + 'static) -> Self
    where
        Old: DeserializeOwned + 'static,
    {
        self.upcasters
            .push(Upcaster::from_version(self.version, upcast));
        self
    }
}

impl<F, Shape, Arguments> From<FunctionHandler<F, Shape, Arguments>> for Handler
where
    F: Function<Shape, Arguments>,
    Arguments: Serialize + DeserializeOwned + Send + 'static,
{
    fn from(handler: FunctionHandler<F, Shape, Arguments>) -> Self {
        let FunctionHandler {
            function,
            name,
            aliases,
            version,
            upcasters,
            defaults,
            breaker,
            place,
            ..
        } = handler;
        let codec = Arc::new(Codec { version, upcasters });
        let kind = Kind::new(&name, &aliases, defaults, Arc::clone(&codec));
        let run = runner(codec, move |cx, arguments| function.run(cx, arguments));
        Self {
            kind: Arc::new(kind),
            run,
            batch: None,
            breaker,
            code_version: None,
            #[cfg(unix)]
            isolated: None,
            place,
        }
    }
}
