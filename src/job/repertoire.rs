//! What a node can run, as claims ask for it: kinds, and of each the newest arguments that it reads.

/// The kinds that a node can run, in order, and side by side with them the newest version of its arguments
/// that is read of each. Arguments of newer versions are for other nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Repertoire {
    kinds: Vec<String>,
    versions: Vec<i32>,
}

impl Repertoire {
    pub(crate) fn new(kinds: impl IntoIterator<Item = (String, i32)>) -> Self {
        let mut kinds: Vec<(String, i32)> = kinds.into_iter().collect();
        kinds.sort_unstable();
        let (kinds, versions) = kinds.into_iter().unzip();
        Self { kinds, versions }
    }

    pub(crate) fn kinds(&self) -> &[String] {
        &self.kinds
    }

    pub(crate) fn versions(&self) -> &[i32] {
        &self.versions
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    pub(crate) fn has(&self, kind: &str) -> bool {
        self.place(kind).is_some()
    }

    /// Whether jobs of this kind with arguments of this version are for it.
    pub(crate) fn can_run(&self, kind: &str, version: i32) -> bool {
        self.place(kind)
            .is_some_and(|place| version <= self.versions[place])
    }

    /// What is left of it with only these kinds.
    pub(crate) fn only(&self, is_kept: impl Fn(&str) -> bool) -> Self {
        let both = self.kinds.iter().zip(&self.versions);
        let kept = both.filter(|(kind, _)| is_kept(kind));
        let (kinds, versions) = kept.map(|(kind, version)| (kind.clone(), *version)).unzip();
        Self { kinds, versions }
    }

    fn place(&self, kind: &str) -> Option<usize> {
        let place = self
            .kinds
            .binary_search_by(|known| known.as_str().cmp(kind));
        place.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_arguments_and_unknown_kinds_are_for_others() {
        let all = [("mail".to_owned(), 2), ("bill".to_owned(), 1)];
        let all = Repertoire::new(all);
        assert_eq!(all.kinds(), ["bill", "mail"]);
        assert_eq!(all.versions(), [1, 2]);
        let can = |kind, version| all.can_run(kind, version);
        assert!(can("mail", 1) && can("mail", 2) && !can("mail", 3));
        assert!(can("bill", 0) && !can("bill", 2) && !can("post", 1));
        let some = all.only(|kind| kind == "mail");
        assert_eq!(
            (some.kinds(), some.versions()),
            (&["mail".to_owned()][..], &[2][..])
        );
        assert!(!some.has("bill") && some.can_run("mail", 2));
    }
}
