"""The Secrets that GitOps' charts and manifests read, before they are there. Their values follow from the seed."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from parts.contracts import Seed, Stores, inner
from parts.inside.cluster import Inside, namespace

# Whose namespace carries what label besides; as gitops/platform has it.
NAMESPACES: dict[str, dict[str, str]] = {"coalmine": {}, "mlflow": {}, "airflow": {"coalmine.dev/trains": "true"}}


@dataclass(frozen=True, slots=True)
class StoreSecretsArgs:
    """`stores` is None where the cluster keeps its own: then there is nothing to hand over."""

    stores: Stores | None
    seed: Seed


class StoreSecrets(pulumi.ComponentResource):
    """Secrets `mlflow-stores`, `judge-database`, Airflow's four, and a `backup-database` for each database's dumps."""

    def __init__(self, name: str, args: StoreSecretsArgs, inside: Inside) -> None:
        super().__init__("coalmine:inside:StoreSecrets", name, None, inside.component())
        if args.stores is not None:
            made = {one: namespace(one, labels, self, keep=inside.keep) for one, labels in NAMESPACES.items()}
            for (where, called), values in _secrets(args.stores, args.seed).items():
                k8s.core.v1.Secret(
                    f"{where}-{called}",
                    metadata=k8s.meta.v1.ObjectMetaArgs(name=called, namespace=where),
                    string_data=values,
                    opts=inner(self, after=[made[where]]),
                )
        self.register_outputs({})


Values = dict[str, pulumi.Output[str]]


def _secrets(stores: Stores, seed: Seed) -> dict[tuple[str, str], Values]:
    """By namespace and name; the keys are those that the readers ask for."""
    homes = {"mlflow": "mlflow", "judge": "coalmine", "airflow": "airflow"}
    dumped = {(home, "backup-database"): _libpq(database, stores, seed) for database, home in homes.items()}
    return dumped | {
        ("mlflow", "mlflow-stores"): {
            "database": _url("postgresql", "mlflow", stores, seed),
            "artifacts": pulumi.Output.concat(stores.artifacts, "/mlflow"),
        },
        ("coalmine", "judge-database"): {"url": _url("postgresql+psycopg", "judge", stores, seed)},
        ("airflow", "airflow-database"): {"connection": _url("postgresql", "airflow", stores, seed)},
        ("airflow", "airflow-fernet"): {"fernet-key": seed.key("airflow-fernet")},
        ("airflow", "airflow-api"): {"api-secret-key": seed.key("airflow-api")},
        ("airflow", "airflow-jwt"): {"jwt-secret": seed.key("airflow-jwt")},
    }


def _libpq(database: str, stores: Stores, seed: Seed) -> Values:
    """As PostgreSQL's own programs read it from their environment."""
    plain = {"PGUSER": database, "PGDATABASE": database, "PGSSLMODE": "require"}
    made = {key: pulumi.Output.from_input(value) for key, value in plain.items()}
    return made | {"PGHOST": stores.databases[database], "PGPASSWORD": seed.password(database)}


def _url(scheme: str, database: str, stores: Stores, seed: Seed) -> pulumi.Output[str]:
    """Secret as a whole, since the password is in it."""
    host, password = stores.databases[database], seed.password(database)
    return pulumi.Output.concat(f"{scheme}://{database}:", password, "@", host, f":5432/{database}?sslmode=require")
