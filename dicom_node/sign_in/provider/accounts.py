"""The accounts of people whom the provider vouches for: made and renewed at each sign-in."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import NodeError
from dicom_node.sign_in.provider.people import KnownPerson
from dicom_node.studies.ledger.accounts.account_tables import Account, ProviderIdentity


class NameTakenError(NodeError):
    """Somebody else has an account of this name."""

    reason = "name-taken"


def account_for(session: Session, person: KnownPerson, *, at: datetime) -> int:
    """Return the account of a person, with the name and role that the provider says now.

    An account of the node's own is never taken over, whatever name the provider says.

    Raises
    ------
    NameTakenError
    """
    found = session.execute(
        select(Account)
        .join(ProviderIdentity, ProviderIdentity.account_id == Account.id)
        .where(ProviderIdentity.issuer == person.issuer, ProviderIdentity.subject == person.subject)
    ).scalar()
    of_the_name = session.scalars(select(Account).where(Account.name == person.name)).first()
    if of_the_name is not None and (found is None or of_the_name.id != found.id):
        raise NameTakenError(
            f"the name {person.name} belongs to another account of this node: an administrator "
            f"removes that one first (mammoclip-node users remove {person.name})"
        )
    if found is None:
        found = Account(
            name=person.name,
            role=person.role.value,
            password_hash="",
            created_at=at,
            changed_at=at,
        )
        session.add(found)
        session.flush()
        session.add(
            ProviderIdentity(account_id=found.id, issuer=person.issuer, subject=person.subject)
        )
    elif (found.name, found.role) != (person.name, person.role.value):
        found.name, found.role, found.changed_at = person.name, person.role.value, at
    return found.id
