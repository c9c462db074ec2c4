//! A wrong call is a compile error at the call, and its message says what is expected.
//!
//! The messages are the compiler's. When it words them differently, look at them again, and write them
//! anew with `TRYBUILD=overwrite cargo test --test compile`.

#[test]
fn wrong_calls_and_functions_do_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile/right.rs");
    cases.compile_fail("tests/compile/wrong_*.rs");
}
