// imapflow against the server: list, sync, append, flags, search, move, idle.
const assert = require('assert');
const { ImapFlow } = require('imapflow');
const options = {
    host: 'localhost', port: Number(process.env.PORT), secure: true, logger: false,
    auth: { user: process.env.ACCOUNT, pass: process.env.PASSWORD },
};
(async () => {
    const client = new ImapFlow(options);
    await client.connect();
    const list = await client.list({ statusQuery: { messages: true, unseen: true } });
    assert(list.some(box => box.specialUse === '\\Sent'), 'no \\Sent');
    const inbox = list.find(box => box.path === 'INBOX');
    assert.strictEqual(inbox.status.messages, Number(process.env.COUNT));
    const lock = await client.getMailboxLock('INBOX');
    let count = 0;
    for await (const message of client.fetch('1:*', { envelope: true, bodyStructure: true, flags: true, source: true, uid: true })) {
        assert(message.envelope && message.bodyStructure && message.source.length);
        count++;
    }
    assert.strictEqual(count, Number(process.env.COUNT));
    const found = await client.search({ subject: 'Generated 11' }, { uid: true });
    assert.strictEqual(found.length, 1);
    await client.messageFlagsAdd(found, ['\\Flagged', '$Forwarded'], { uid: true });
    const one = await client.fetchOne(found[0], { flags: true }, { uid: true });
    assert(one.flags.has('\\Flagged') && one.flags.has('$Forwarded'));
    const moved = await client.messageMove(found, 'Archive', { uid: true });
    assert.strictEqual(moved.uidMap.size, 1);
    const heard = new Promise((resolve, reject) => {
        client.on('exists', resolve);
        setTimeout(() => reject(new Error('IDLE heard nothing')), 10000).unref();
    });
    const idling = client.idle();
    const other = new ImapFlow(options);
    await other.connect();
    const appended = await other.append('INBOX', 'Subject: from imapflow\r\n\r\nhello\r\n', ['\\Seen']);
    assert(appended.uid > 0);
    await heard;
    await other.logout();
    lock.release();
    await client.logout();
    await idling.catch(() => {});
})().catch(error => { console.error(error); process.exit(1); });
