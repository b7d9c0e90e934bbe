"""The pages of the dashboard, in the order of its navigation."""

from supernova_ai.dashboard.page import Page
from supernova_ai.dashboard.pages.advice import ADVICE
from supernova_ai.dashboard.pages.errors import ERRORS
from supernova_ai.dashboard.pages.keys import KEYS
from supernova_ai.dashboard.pages.money import MONEY
from supernova_ai.dashboard.pages.now import NOW
from supernova_ai.dashboard.pages.performance import PERFORMANCE
from supernova_ai.dashboard.pages.users import USERS

PAGES: tuple[Page, ...] = (NOW, MONEY, PERFORMANCE, ERRORS, ADVICE, USERS, KEYS)

__all__ = ["PAGES"]
