"""Tables of data: read them, encode them as numbers, split them.

>>> from neurenix import data
>>> table = data.Table({"age": [30, 41, None, 25], "city": ["Oslo", "Lima", "Oslo", ""]})
>>> encoder = data.Encoder.fit(table)
>>> encoder.transform(table).shape  # the age, and one column for each city
(4, 3)
"""

from neurenix.data.encode import Encoder
from neurenix.data.prepare import Prepared, prepare
from neurenix.data.read import SETS, read
from neurenix.data.split import split
from neurenix.data.table import DataError, Table
from neurenix.data.target import Target

__all__ = ["SETS", "DataError", "Encoder", "Prepared", "Table", "Target", "prepare", "read", "split"]
