"""A dynamic_reconfigure server that refuses what the stock one clamps, and tells what really is."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import rospy
from dynamic_reconfigure.encoding import encode_config
from dynamic_reconfigure.server import Server

from uniros_msgs.errors import UnirosError
from uniros_msgs.knobs import Bounds

Values = Mapping[str, float]


class Reconfigure(Server):
    """Offers knobs (`uniros_msgs.knobs`) to `dynparam`, rqt_reconfigure and whoever speaks their protocol.

    One request is carried out as a whole or not at all; the answer is where the knobs stand then. What a server that
    ran before has left on the parameter server does not count: a node begins as it was started.
    """

    def __init__(self, name: str, namespace: str, within: Bounds, read: Callable[[], Values],
                 turn: Callable[[Values], None]) -> None:
        """name: of the .cfg file. namespace: private, "~physics"; "" for the node itself. read: where the knobs stand.

        turn: carries changes out, all at once; raises ValueError or an UnirosError, and nothing has changed.
        """
        self._read, self._turn = read, turn
        kind = _narrowed(importlib.import_module(f"uniros.cfg.{name}Config"), read(), within)
        super().__init__(kind, lambda config, level: config, namespace)

    def update_configuration(self, changes: Values) -> Any:
        """Turn the knobs named that are to stand elsewhere; all of the configuration as it is then."""
        with self.mutex:
            before = self._read()
            asked = {name: value for name, value in changes.items() if name in before and value != before[name]}
            where = rospy.resolve_name(self.ns.rstrip("/") or "~")
            try:
                if asked:
                    self._turn(asked)
                    turned = ", ".join(f"{name} {before[name]:g} -> {value:g}" for name, value in asked.items())
                    rospy.loginfo("%s: %s, from the next step on", where, turned)
            except (ValueError, UnirosError) as error:
                rospy.logwarn("%s: nothing was changed: %s", where, error)
            return self._tell()

    def refresh(self) -> None:
        """Tell again, if knobs have been turned by others."""
        with self.mutex:
            if any(self.config[name] != value for name, value in self._read().items()):
                self._tell()

    def _tell(self) -> Any:
        self.config.update(self._read())
        self._copy_to_parameter_server()
        self.update_topic.publish(encode_config(self.config))
        return self.config

    def _copy_from_parameter_server(self) -> None:
        """See the class: what stands there is old."""

    def _copy_to_parameter_server(self) -> None:
        """All at once, instead of one by one."""
        for name, value in self._read().items() if self.ns == "~" else ():
            rospy.set_param(self.ns + name, value)
        if self.ns != "~":
            rospy.set_param(self.ns.rstrip("/"), dict(self._read()))


def _narrowed(module: Any, values: Values, within: Bounds) -> Any:
    """A generated configuration type, with the present values as defaults and with bounds as they are here."""
    kind = SimpleNamespace(config_description=copy.deepcopy(module.config_description), level=module.level,
                           type=module.type, all_level=module.all_level, defaults=dict(values),
                           min={name: pair[0] for name, pair in within.items()},
                           max={name: pair[1] for name, pair in within.items()})
    for row in kind.config_description["parameters"]:
        name = row["name"]
        row.update(default=kind.defaults[name], min=kind.min[name], max=kind.max[name])
    return kind
