from keepfit.testing.objects import ObjectsSuite


class TestFolder(ObjectsSuite):
    url = "folder:objects"
