use super::*;
use crate::{Policy, PolicyError, PolicyLoader};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn built_in() -> (Policy, Vec<u8>) {
    (Policy::built_in().unwrap(), crate::policy::BUILT_IN.to_vec())
}

fn trusting(keys: &[&SecretKey]) -> PolicyLoader {
    PolicyLoader::default().trust(Trust::keys(keys.iter().map(|key| key.public())))
}

fn refusal(loader: &PolicyLoader, bytes: &[u8], signature: Option<&Signature>) -> SignatureError {
    match loader.from_signed_bytes(bytes, signature).map(drop).unwrap_err() {
        PolicyError::Signature(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn only_policies_signed_by_a_trusted_key_are_accepted() {
    let (policy, bytes) = built_in();
    let (ours, theirs) = (key(1), key(2));
    let loader = trusting(&[&ours]);
    let signature = Signature::sign(&policy, 3, &ours);
    let admitted = loader.from_signed_bytes(&bytes, Some(&signature)).unwrap();
    assert_eq!(admitted.signature(), Some(&signature));

    assert!(matches!(refusal(&loader, &bytes, None), SignatureError::Missing { .. }));
    assert!(matches!(loader.from_bytes(&bytes), Err(PolicyError::Signature(SignatureError::Missing { .. }))));
    let foreign = Signature::sign(&policy, 3, &theirs);
    assert!(matches!(refusal(&loader, &bytes, Some(&foreign)), SignatureError::UnknownKey { key, .. } if key == theirs.public()));
    let claimed = Signature { key: ours.public(), ..foreign };
    assert!(matches!(refusal(&loader, &bytes, Some(&claimed)), SignatureError::Forged { .. }));
}

#[test]
fn no_field_of_a_manifest_can_be_changed_and_no_signature_moved_to_another_component() {
    let (policy, bytes) = built_in();
    let ours = key(1);
    let loader = trusting(&[&ours]);
    let signature = Signature::sign(&policy, 3, &ours);
    let changes: [fn(&mut Manifest); 5] = [
        |manifest| manifest.name.push('x'),
        |manifest| manifest.version = "9.0.0".into(),
        |manifest| manifest.contract = "9.0.0".into(),
        |manifest| manifest.revision += 1,
        |manifest| manifest.digest = "0".repeat(64),
    ];
    for change in changes {
        let mut changed = signature.clone();
        change(&mut changed.manifest);
        assert!(matches!(refusal(&loader, &bytes, Some(&changed)), SignatureError::Forged { .. }), "{changed:?}");
    }
    // With an extra custom section.
    let other = [&bytes[..], &[0, 2, 1, b'x']].concat();
    assert!(matches!(refusal(&loader, &other, Some(&signature)), SignatureError::OtherComponent { .. }));
}

#[test]
fn manifests_whose_fields_join_to_one_text_have_different_signed_bytes() {
    let manifest = |name: &str, version: &str| Manifest {
        name: name.into(),
        version: version.into(),
        contract: String::new(),
        revision: 0,
        digest: String::new(),
    };
    assert_ne!(manifest("a\nversion 1 b", "").signed_bytes(), manifest("a", "b").signed_bytes());
}

#[test]
fn a_policy_that_calls_itself_otherwise_than_its_manifest_is_refused() {
    let (policy, bytes) = built_in();
    let ours = key(1);
    let mut manifest = Manifest::of(&policy, 1);
    manifest.name = "somebody-else".into();
    let signature = Signature { signature: ours.sign(&manifest.signed_bytes()), manifest, key: ours.public() };
    let refused = refusal(&trusting(&[&ours]), &bytes, Some(&signature));
    assert!(matches!(refused, SignatureError::OtherPolicy { field: "name", .. }), "{refused}");
}

#[test]
fn a_signature_that_is_there_must_hold_even_where_no_key_is_trusted() {
    let (policy, bytes) = built_in();
    let mut signature = Signature::sign(&policy, 1, &key(1));
    assert!(PolicyLoader::default().from_signed_bytes(&bytes, Some(&signature)).is_ok());
    signature.manifest.revision = 2;
    assert!(matches!(refusal(&PolicyLoader::default(), &bytes, Some(&signature)), SignatureError::Forged { .. }));
}

#[test]
fn keys_are_read_as_they_are_written_and_the_halves_are_not_mixed_up() {
    let secret = key(7);
    assert_eq!(secret.reveal().parse::<SecretKey>().unwrap().public(), secret.public());
    assert_eq!(format!(" {}\n", secret.public()).parse::<PublicKey>().unwrap(), secret.public());
    assert!(!format!("{secret:?}").contains(&secret.reveal()[20..]));
    assert!(matches!(secret.reveal().parse::<PublicKey>(), Err(KeyError::OtherHalf { .. })));
    assert!(matches!(secret.public().to_string().parse::<SecretKey>(), Err(KeyError::OtherHalf { .. })));
    for wrong in ["", "upright-public-key:", "upright-public-key:00", &format!("upright-public-key:{}", "g".repeat(64)), &"0".repeat(64)] {
        assert!(matches!(wrong.parse::<PublicKey>(), Err(KeyError::Form { .. })), "{wrong}");
    }
    assert_ne!(SecretKey::generate().unwrap().public(), SecretKey::generate().unwrap().public());
}

#[test]
fn a_signature_survives_its_file() {
    let (policy, _) = built_in();
    let signature = Signature::sign(&policy, u64::MAX, &key(1));
    let text = serde_json::to_string(&signature).unwrap();
    assert_eq!(serde_json::from_str::<Signature>(&text).unwrap(), signature);
}
