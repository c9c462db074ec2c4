//! Types inside themselves.

use super::*;

#[derive(Deserialize)]
pub(super) enum Tree {
    Leaf,
    Node(Box<Tree>, Box<Tree>),
}

#[derive(Deserialize)]
struct List {
    next: Option<Box<List>>,
    value: u8,
}

/// Its first variants recur, its way out is last, and fields follow the recursion.
#[derive(Deserialize)]
enum Expr {
    Add(Box<Expr>, Box<Expr>, u8),
    Call {
        name: String,
        args: Vec<Expr>,
        at: Option<u32>,
    },
    Neg(Box<Expr>),
    Block(Vec<Statement>),
    Literal(i64),
}

#[derive(Deserialize)]
struct Statement {
    expr: Expr,
    then: Option<Box<Statement>>,
    flag: bool,
}

/// Cannot exist.
#[derive(Deserialize)]
struct Endless {
    inner: Box<Endless>,
    after: u8,
}

#[derive(Deserialize)]
struct HoldsEndless {
    before: Option<Endless>,
    after: plain::E,
}

#[test]
fn recursive_types_are_finite() {
    assert_eq!(whole::<Tree>(), "enum {Leaf, Node(^2, ^2)}");
    assert_eq!(whole::<List>(), "{next: ^2?, value: u8}");
    assert_eq!(
        whole::<Expr>(),
        "enum {Add(^2, ^2, u8), Call{name: string, args: [^3], at: u32?}, Neg(^2), \
         Block([{expr: ^4, then: ^2?, flag: bool}]), Literal(i64)}"
    );
    assert_eq!(whole::<Vec<Tree>>(), "[enum {Leaf, Node(^2, ^2)}]");
}

#[test]
fn types_without_values_end_with_a_marker() {
    assert!(!trace::<Endless>().is_complete());
    let text = describe::<HoldsEndless>();
    assert!(
        text.ends_with("after: enum {A, B(u8), C{x: u8}}}"),
        "{text}"
    );
    assert!(!trace::<HoldsEndless>().is_complete());
    #[derive(Deserialize)]
    enum Never {}
    assert_eq!(describe::<Never>(), "enum { = }! …");
}

macro_rules! wide {
    ($($variant:ident)*) => {
        /// Every variant recurs twice but the last.
        #[derive(Deserialize)]
        enum Wide { $($variant(Box<Wide>, Box<Wide>),)* End }
    };
}
wide!(A B C D E F G H I J K L M N O P Q R S T U V W X Y Z);

#[derive(Deserialize)]
struct Wider {
    one: Wide,
    two: Vec<Wide>,
    three: HashMap<String, (Wide, plain::E)>,
}

#[test]
fn wide_recursion_is_explored_without_explosion() {
    let wide = whole::<Wide>();
    assert!(wide.starts_with("enum {A(^2, ^2), B(^2, ^2)"), "{wide}");
    assert!(wide.ends_with("Z(^2, ^2), End}"), "{wide}");
    let wider = whole::<Wider>();
    assert_eq!(wider.matches(&wide).count(), 3, "{wider}");
}

#[test]
fn other_threads_agree() {
    let here = fingerprint_of::<Wider>();
    let there = std::thread::spawn(fingerprint_of::<Wider>).join();
    assert_eq!(there.expect("tracing does not panic"), here);
}

#[derive(Deserialize)]
struct Folder {
    files: Vec<File>,
    name: String,
}

#[derive(Deserialize)]
struct File {
    within: Option<Box<Folder>>,
    links: HashMap<String, File>,
    size: u32,
}

#[test]
fn types_inside_each_other_are_finite() {
    let file = "{within: ^4?, links: map<string, ^2>, size: u32}";
    assert_eq!(
        whole::<Folder>(),
        format!("{{files: [{file}], name: string}}")
    );
    assert_all_differ!(Folder, File);
}

mod deep {
    use super::*;
    /// Has the name and the fields of what it holds, and is another type.
    #[derive(Deserialize)]
    pub(super) struct Same {
        inner: Option<deeper::Same>,
    }
    mod deeper {
        use super::*;
        #[derive(Deserialize)]
        pub(super) struct Same {
            inner: Option<u8>,
        }
    }
}

#[test]
fn look_alikes_inside_each_other_are_no_recursion() {
    assert_eq!(whole::<deep::Same>(), "{inner: {inner: u8?}?}");
}

#[test]
fn fingerprints_of_recursive_types_are_pinned() {
    assert_pinned::<Tree>("7fd9c69ceaa93f89");
    assert_pinned::<Expr>("3bf90781fb3a574a");
}
