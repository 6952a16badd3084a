//! Cases give the right answers, and targets name existing cases.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use upright_benches::cases;
use upright_benches::group::Target;

#[test]
fn every_case_answers_as_it_should_also_after_many_calls() {
    let runtime = cases::runtime().unwrap();
    let _entered = runtime.enter();
    for group in cases::all().unwrap() {
        for case in &group.cases {
            assert!(case.is_right(), "{}: {}", group.id, case.name);
            case.worker()(200);
            assert!(case.is_right(), "{}: {} after 200 calls", group.id, case.name);
        }
    }
}

#[test]
fn the_stores_cases_answer_as_they_should() {
    let folder = cases::store::Folder::new().unwrap();
    for group in cases::store::groups(&folder).unwrap() {
        for case in &group.cases {
            assert!(case.is_right(), "{}: {}", group.id, case.name);
            case.worker()(5);
            assert!(case.is_right(), "{}: {} after 5 calls", group.id, case.name);
        }
    }
}

#[test]
fn targets_and_references_are_cases_of_their_group_and_no_name_stands_twice() {
    let mut groups = BTreeSet::new();
    let folder = cases::store::Folder::new().unwrap();
    for group in cases::all().unwrap().into_iter().chain(cases::store::groups(&folder).unwrap()) {
        assert!(groups.insert(group.id), "two groups {}", group.id);
        let names: BTreeSet<_> = group.cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), group.cases.len(), "{}", group.id);
        let mut named = vec![group.reference];
        for target in &group.targets {
            match *target {
                Target::TimesOf { case, peer, .. } => named.extend([case, peer]),
                Target::Nanoseconds { case, .. } | Target::NoAllocation { case } => named.push(case),
            }
        }
        for name in named {
            assert!(names.contains(name), "{} has no case {name:?}", group.id);
        }
    }
}
