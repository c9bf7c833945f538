"""Finite numbers in the place of minus infinity, and how they relate.

They are finite, so that sums of them stay numbers: minus infinity less minus infinity
isn't one.

| number | what has it | bounds |
| --- | --- | --- |
| `MASKED_SCORE` | a query's score of a key that it may not see | `exp` of it is 0 |
| `MASKED_SCORE_FLOAT16` | the same in float16 | float16 ends at -65,504 |
| `IMPOSSIBLE` | a token or a hypothesis that must not be chosen | see below |
| `NO_LOGIT` | a column of logits that stands for no token | 2 `IMPOSSIBLE` |
| `FILLING` | what fills a row of logits up to whole pieces | 4 `IMPOSSIBLE` |
| `NEVER` | a logit whose probability is 0 at any temperature | below all others |

Log-probabilities are far above `IMPOSSIBLE / 2`: what is above it is possible, what is
below isn't. A token that is forbidden, of a hypothesis that doesn't exist, has
`IMPOSSIBLE` twice. `NO_LOGIT` is below what is forbidden once, and `FILLING` below
whatever has a column.
"""

MASKED_SCORE = -1e9
MASKED_SCORE_FLOAT16 = -3e4

IMPOSSIBLE = -1e9
NO_LOGIT = 2 * IMPOSSIBLE
FILLING = 4 * IMPOSSIBLE
NEVER = -1e30
