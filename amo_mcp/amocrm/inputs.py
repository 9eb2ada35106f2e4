from amo_mcp.amocrm.models import *
from amo_mcp.amocrm.models import ApiInput, EntityId, Name, SegmentDraft, SegmentPatch, Sort, StatusDraft, StatusPatch, Text, LaxInt, SegmentColor, StatusColor
